"""TFLite models drawn in a test."""

from pathlib import Path
from typing import Protocol

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from exporters.tflite.translate import InputRange

_TYPES = {np.dtype(np.float32): 0, np.dtype(np.float16): 1, np.dtype(np.int32): 2, np.dtype(np.int8): 9}


class Sketch:
    """A model under construction; tensors are numbered, number 0 is the input."""

    def __init__(self, *input_shape: int) -> None:
        self.buffers = [schema.BufferT()]
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []
        self.kinds: list[str] = []
        self._tensor(input_shape, np.dtype(np.float32))

    def constant(
        self, array: NDArray[np.generic], shape: tuple[int, ...] | None = None, sparsity: object = None
    ) -> int:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self.buffers.append(buffer)
        return self._tensor(shape or array.shape, array.dtype, len(self.buffers) - 1, sparsity)

    def op(self, kind: str, *inputs: int, **options: object) -> int:
        operator = schema.OperatorT()
        operator.inputs = list(inputs)
        title = options.pop("title", None)
        if title is not None:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, str(title))
            operator.builtinOptions = getattr(schema, f"{title}T")()
            vars(operator.builtinOptions).update(options)
        operator.opcodeIndex = len(self.kinds)
        dtype = np.float32 if kind != "DENSIFY" else {0: np.float32, 1: np.float16}[self.tensors[inputs[0]].type]
        operator.outputs = [self._tensor((1,), np.dtype(dtype))]
        self.kinds.append(kind)
        self.operators.append(operator)
        return int(operator.outputs[0])

    def save(self, path: Path, outputs: list[int]) -> Path:
        """Write the model, with the shapes that LiteRT infers."""
        path.write_bytes(self._pack(outputs))
        interpreter = Interpreter(str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
        interpreter.allocate_tensors()
        for detail in interpreter.get_tensor_details():
            if detail["index"] < len(self.tensors) and not self.tensors[detail["index"]].buffer:
                self.tensors[detail["index"]].shape = [int(side) for side in detail["shape"]]
        path.write_bytes(self._pack(outputs))
        return path

    def _tensor(
        self, shape: tuple[int, ...], dtype: np.dtype[np.generic], buffer: int = 0, sparsity: object = None
    ) -> int:
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.buffer = list(shape), _TYPES[dtype], buffer
        tensor.name, tensor.sparsity = f"t{len(self.tensors)}", sparsity
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _pack(self, outputs: list[int]) -> bytes:
        graph, model = schema.SubGraphT(), schema.ModelT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, self.operators, [0], outputs
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = [self._code(kind) for kind in self.kinds]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _code(self, kind: str) -> schema.OperatorCodeT:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, kind)
        code.version = {"DENSIFY": 1, "DEQUANTIZE": 3, "RESIZE_BILINEAR": 3}.get(kind, 1)
        return code


class LargestDifference(Protocol):
    """Saves a sketch, translates it, runs both on a batch of two random images."""

    def __call__(self, drawn: Sketch, *outputs: int, input_range: InputRange = ...) -> float: ...
