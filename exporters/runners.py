"""Running models in onnxruntime, for comparison."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    InvalidGraph,
    InvalidProtobuf,
    NotImplemented,  # noqa: A004 - onnxruntime's name
    RuntimeException,
)

from exporters.errors import TranslationError
from exporters.recipe import Outputs

RUNTIME_ERRORS = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
"""What onnxruntime raises of a model; they share no base class."""

_ALL = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
_NONE = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


def run_onnx(model: bytes, images: NDArray[np.uint8]) -> Outputs:
    """Every output of an exported model, all images as one batch, N×…. Raises TranslationError."""
    return _run(model, {"image": images}, _ALL)


def run_network(model: bytes, images: NDArray[np.generic]) -> tuple[Outputs, Outputs]:
    """The outputs of a network of one input, by onnxruntime's fused kernels and by the operators one by one.

    Raises TranslationError where it cannot be run.
    """
    (source,) = onnx.load_from_string(model).graph.input
    feed = {source.name: images}
    return _run(model, feed, _ALL), _run(model, feed, _NONE)


def _run(model: bytes, feed: Mapping[str, NDArray[np.generic]], level: onnxruntime.GraphOptimizationLevel) -> Outputs:
    try:
        return _outputs(model, feed, level)
    except RUNTIME_ERRORS as error:
        raise TranslationError(f"onnxruntime cannot run this model: {error}") from error


def _outputs(
    model: bytes, feed: Mapping[str, NDArray[np.generic]], level: onnxruntime.GraphOptimizationLevel
) -> Outputs:
    """All images at once where the model takes any number, else one by one."""
    session = onnxruntime.InferenceSession(model, _options(level), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    ((source, images),) = feed.items()
    if session.get_inputs()[0].shape[0] != 1:
        return dict(zip(names, session.run(names, feed), strict=True))
    runs = [session.run(names, {source: image[np.newaxis]}) for image in images]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*runs, strict=True), strict=True)}


def _options(level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    return options
