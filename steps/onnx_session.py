"""onnxruntime sessions, set up from a Triton model configuration."""

import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np
import onnxruntime as ort

from steps.graph_signature import Signature, TensorSpec
from steps.tensors import Tensor, Tensors
from vision.arrays import RGB, Float32

INPUT, OUTPUT = "image", "detections"
"""The name of every detector's input, and of its output."""


_TENSORRT = "TensorrtExecutionProvider"
_TENSORRT_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "max_workspace_size_bytes": "trt_max_workspace_size",
        "trt_engine_cache_path": "trt_engine_cache_path",
    }
)
"""onnxruntime's names of what NVIDIA's backend takes."""
_NONE = (
    "TensorRT is asked for, and this onnxruntime {}: install onnxruntime-gpu and TensorRT's libraries, use NVIDIA's "
    "server, or choose TRITON_TENSORRT=off"
)
_TRUE, _FALSE = {"1", "true", "on"}, {"0", "false", "off"}


class NoTensorrtError(ValueError):
    """TensorRT was asked for where onnxruntime has none."""


@dataclass(frozen=True)
class SessionOptions:
    """How one instance of an ONNX model runs. Field names follow the parameters of Triton's onnxruntime backend."""

    intra_op_thread_count: int = 0
    inter_op_thread_count: int = 0
    allow_spinning: bool = True
    enable_mem_arena: bool = True
    device_id: int | None = None
    tensorrt: Mapping[str, str] | None = None
    """Parameters of the accelerator of this name, which runs what it can of a graph on the GPU."""

    @classmethod
    def from_parameters(
        cls, parameters: Mapping[str, str], device_id: int | None, tensorrt: Mapping[str, str] | None = None
    ) -> "SessionOptions":
        """Options from the `parameters` of a config.pbtxt. `device_id` is None on a CPU. 0 threads means all cores."""
        return cls(
            intra_op_thread_count=int(parameters.get("intra_op_thread_count", "0")),
            inter_op_thread_count=int(parameters.get("inter_op_thread_count", "0")),
            allow_spinning=parameters.get("session.intra_op.allow_spinning", "1") != "0",
            enable_mem_arena=_flag(parameters, "enable_mem_arena", default="1"),
            device_id=device_id,
            tensorrt=tensorrt,
        )

    def providers(self) -> list[str | tuple[str, dict[str, int | str]]]:
        """Execution providers, best first: TensorRT on request and CUDA on the instance's device, else the CPU.

        Raises NoTensorrtError if it was asked for and this onnxruntime has none.
        """
        if self.device_id is None:
            return ["CPUExecutionProvider"]
        tensorrt = [] if self.tensorrt is None else [(_TENSORRT, self._of_tensorrt(self.tensorrt))]
        return [*tensorrt, ("CUDAExecutionProvider", {"device_id": self.device_id}), "CPUExecutionProvider"]

    def _of_tensorrt(self, parameters: Mapping[str, str]) -> dict[str, int | str]:
        """Onnxruntime's names of the parameters. It would leave out a provider that it lacks, and say nothing.

        Its truth values are `True` and `False` alone: for `1` it goes on without TensorRT. NVIDIA's backend takes both.
        """
        there = ort.get_available_providers()
        if _TENSORRT not in there:
            raise NoTensorrtError(_NONE.format(f"has only {', '.join(there)}"))
        switches = {
            "trt_fp16_enable": str(parameters.get("precision_mode") == "FP16"),
            "trt_engine_cache_enable": str(_flag(parameters, "trt_engine_cache_enable", default="0")),
        }
        given = {name: parameters[theirs] for theirs, name in _TENSORRT_NAMES.items() if theirs in parameters}
        return {"device_id": self.device_id or 0, **switches, **given}


def _flag(parameters: Mapping[str, str], name: str, default: str) -> bool:
    """A truth value in the forms that NVIDIA's onnxruntime backend takes. Raises ValueError for any other."""
    value = parameters.get(name, default)
    if value.lower() not in _TRUE | _FALSE:
        raise ValueError(f"parameter {name} is {value!r}; it must be 0, 1, false, true, off or on")
    return value.lower() in _TRUE


class OnnxSession:
    """One loaded model.onnx, as a step. Raises what onnxruntime raises if the file cannot be loaded."""

    def __init__(self, path: Path, options: SessionOptions) -> None:
        native = ort.SessionOptions()
        native.intra_op_num_threads = options.intra_op_thread_count
        native.inter_op_num_threads = options.inter_op_thread_count
        native.enable_cpu_mem_arena = options.enable_mem_arena
        native.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.allow_spinning else "0")
        self._session = ort.InferenceSession(str(path), native, providers=options.providers())
        asked = options.tensorrt is not None and options.device_id is not None
        if asked and _TENSORRT not in self._session.get_providers():
            raise NoTensorrtError(_NONE.format("could not start it; its log says why"))
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        defaults = self._session.get_overridable_initializers()
        self.signature = Signature(
            (*map(TensorSpec.of_node, inputs), *(TensorSpec.of_node(node, optional=True) for node in defaults)),
            tuple(map(TensorSpec.of_node, outputs)),
        )
        self.input_names = [value.name for value in inputs]
        self.output_names = [value.name for value in outputs]

    def run(self, tensors: Tensors, outputs: Sequence[str]) -> list[Tensor]:
        """The named outputs, in the requested order."""
        feed = {name: tensors[name] for name in self.input_names}
        return cast("list[Tensor]", self._session.run(list(outputs), feed))

    def __call__(self, tensors: Tensors) -> Tensors:
        """Every output by name."""
        return dict(zip(self.output_names, self.run(tensors, self.output_names), strict=True))


def load_graph(folder: Path, options: SessionOptions) -> OnnxSession:
    """The model in a folder of the repository, whatever its configuration says."""
    return OnnxSession(folder / "1" / "model.onnx", options)


class OnnxNetworks:
    """The detectors' networks in this process. Each is loaded when it first runs, and then kept.

    Inputs run in parallel, as many as there are cores for the threads of each.
    """

    def __init__(
        self,
        model_repository: Path,
        options: SessionOptions,
        load: Callable[[Path, SessionOptions], OnnxSession] = load_graph,
    ) -> None:
        self._session = functools.cache(lambda model: load(model_repository / model, options))
        cores = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(max(cores // max(options.intra_op_thread_count, 1), 1))

    def load(self, models: Iterable[str]) -> None:
        """Load them now. Raises what loading raises."""
        for model in models:
            self._session(model)

    def __call__(self, model: str) -> "OnnxNetwork":
        """The network of a model."""
        return OnnxNetwork(functools.partial(self._session, model), self._pool)


@dataclass(frozen=True)
class OnnxNetwork:
    """A network. Raises what onnxruntime raises if its file cannot be loaded."""

    session: Callable[[], OnnxSession]
    pool: ThreadPoolExecutor

    def __call__(self, draws: Sequence[Callable[[], RGB]]) -> list[Float32]:
        """The rows of each input. An input is drawn when it is run."""
        run = self.pool.map if len(draws) > 1 else map
        return list(run(functools.partial(_rows, self.session()), draws))

    def maps(self, image: RGB, outputs: Sequence[str]) -> list[Tensor]:
        """The named outputs of one image H×W×3, without the first dimension."""
        return [output[0] for output in self.session().run({INPUT: image[np.newaxis]}, outputs)]


def _rows(session: OnnxSession, draw: Callable[[], RGB]) -> Float32:
    (rows,) = session.run({INPUT: draw()[np.newaxis]}, [OUTPUT])
    return cast("Float32", rows[0])
