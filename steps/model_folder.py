"""The files of a model's folder: config.pbtxt, read with Triton's own schema, and the check of model.onnx."""

import os
from pathlib import Path
from typing import BinaryIO, cast

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from steps.graph_signature import Signature

_WORKSPACE = 1 << 30
"""Bytes of GPU memory that TensorRT may try kernels with."""


class ModelConfig:
    """One model folder's config.pbtxt. Raises FileNotFoundError or google.protobuf's ParseError (file, line, fault)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._config = model_config_pb2.ModelConfig()
        path = folder / "config.pbtxt"
        try:
            text_format.Parse(path.read_text(encoding="utf-8"), self._config)
        except text_format.ParseError as error:
            raise text_format.ParseError(f"{path}: {error}") from error

    @property
    def name(self) -> str:
        """The model's name. It is the folder's name, as Triton requires."""
        return self.folder.name

    @property
    def backend(self) -> str:
        """The backend: `python`, `onnxruntime`, or an empty string for an ensemble."""
        return cast("str", self._config.backend)

    @property
    def max_batch_size(self) -> int:
        """The largest batch. 0 if the model's inputs have no batch dimension."""
        return cast("int", self._config.max_batch_size)

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters, as text."""
        return {key: value.string_value for key, value in self._config.parameters.items()}

    @property
    def steps(self) -> list[tuple[str, dict[str, str], dict[str, str]]]:
        """An ensemble's steps in order: the model, and its inputs and outputs → the ensemble's tensors."""
        return [
            (step.model_name, dict(step.input_map), dict(step.output_map))
            for step in self._config.ensemble_scheduling.step
        ]

    def linked_steps(self, model_repository: Path) -> list[tuple[str, dict[str, str], dict[str, str]]]:
        """The steps as they run in one process. There, an optional input gets the earlier output of the same name.

        Ensembles do not map these inputs: moving a whole photo between two processes costs more than decoding it again.
        """
        models = {name: ModelConfig(model_repository / name) for name, _, _ in self.steps}
        asked = {name for model in models.values() for name in model.optional_input_names}
        linked = asked & {name for model in models.values() for name in model.output_names}

        def completed(names: list[str], mapped: dict[str, str]) -> dict[str, str]:
            return {**{name: name for name in names if name in linked}, **mapped}

        return [
            (name, completed(models[name].input_names, inputs), completed(models[name].output_names, outputs))
            for name, inputs, outputs in self.steps
        ]

    def message(self) -> model_config_pb2.ModelConfig:
        """A copy of the whole configuration."""
        copied = model_config_pb2.ModelConfig()
        copied.CopyFrom(self._config)
        return copied

    @property
    def signature(self) -> Signature:
        """The inputs and outputs."""
        return Signature.of_json(json_format.MessageToDict(self._config, preserving_proto_field_name=True))

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs, in order."""
        return [value.name for value in self._config.input]

    @property
    def optional_input_names(self) -> list[str]:
        """The names of the inputs that a request may leave out."""
        return [value.name for value in self._config.input if value.optional]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, in order."""
        return [output.name for output in self._config.output]

    def accelerated(self, precision: str, engines: Path) -> str:
        """config.pbtxt text with TensorRT for the graph's nodes that it can take, in FP32 or FP16.

        It keeps what it builds in the folder `engines`. The names are those of NVIDIA's onnxruntime backend.
        """
        accelerated = self.message()
        accelerators = accelerated.optimization.execution_accelerators.gpu_execution_accelerator
        accelerator = accelerators.add(name="tensorrt")
        accelerator.parameters["precision_mode"] = precision
        accelerator.parameters["max_workspace_size_bytes"] = str(_WORKSPACE)
        accelerator.parameters["trt_engine_cache_enable"] = "1"
        accelerator.parameters["trt_engine_cache_path"] = str(engines)
        return text_format.MessageToString(accelerated)


class BrokenModelError(ValueError):
    """A model folder that cannot be used. The message names the file and its fault."""


def readable_config(folder: Path) -> ModelConfig:
    """A model's configuration. Raises BrokenModelError if the file is missing or unreadable."""
    try:
        return ModelConfig(folder)
    except text_format.ParseError as error:
        raise BrokenModelError(str(error)) from error
    except UnicodeDecodeError as error:
        raise BrokenModelError(f"{folder / 'config.pbtxt'}: it is not UTF-8 text") from error
    except OSError as error:
        raise BrokenModelError(f"{folder / 'config.pbtxt'}: {error.strerror}") from error


_GRAPH = 7
"""The field `graph` of `ModelProto` (onnx.proto)."""
_FIXED = {1: 8, 5: 4}
"""Bytes of a field's value by its wire type. 0 is a varint, 2 is a size and as many bytes (protobuf's encoding)."""
_LONGEST_VARINT = 10


def fault_of_model(path: Path) -> str:
    """What is wrong with an ONNX model's file, in a few words. Empty if it is complete.

    Only its outermost fields are read, a few bytes whatever its size.
    """
    try:
        with path.open("rb") as file:
            return _fault(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        return error.strerror or "unreadable"


def _fault(file: BinaryIO, size: int) -> str:
    """A field that ends after the end of the file shows that the file was cut short."""
    if not size:
        return "it is empty"
    seen = set()
    while file.tell() < size:
        field = _skipped(file)
        if field is None:
            return "it is no ONNX model"
        seen.add(field)
    if file.tell() > size:
        return "it is cut short"
    return "" if _GRAPH in seen else "it is no ONNX model"


def _skipped(file: BinaryIO) -> int | None:
    """The number of the skipped field. None if it is not a field."""
    tag = _varint(file)
    if tag is None or not tag >> 3:
        return None
    match tag & 7:
        case 0:
            step = None if _varint(file) is None else 0
        case 2:
            step = _varint(file)
        case kind:
            step = _FIXED.get(kind)
    if step is None:
        return None
    file.seek(step, os.SEEK_CUR)
    return tag >> 3


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 0x7F) << 7 * place
        if not byte[0] & 0x80:
            return value
    return None
