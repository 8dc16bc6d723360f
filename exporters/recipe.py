"""How one model is made from its checkpoint, and how both are run on photos for comparison."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import cv2
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

from exporters.errors import FetchError, TranslationError
from exporters.usage import Values, as_used

Outputs: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Values by output. The first dimension counts images."""
BAR = 1e-3
"""The bar for a model that computes as its checkpoint does."""
RUNTIME_ERRORS = (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, NotImplemented, RuntimeException)
"""What onnxruntime raises for a model. These errors share no base class."""
Image = NDArray[np.uint8]
View: TypeAlias = Callable[[Image, int], Image]
"""Makes a square with a given side of a photo."""
_SILENT = 4
"""onnxruntime's level of what ends the process. Errors are raised, too."""
_ALL = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
_NONE = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL


@dataclass(frozen=True)
class Recipe(ABC):
    """A model made from catalogued files, the `checkpoints`. Methods take the paths of these, in that order."""

    name: str
    checkpoints: tuple[str, ...]
    bar: ClassVar[float] = BAR
    """The largest allowed difference to the checkpoint, in the units of `as_used`."""

    @abstractmethod
    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        """(width, height) of the images on which the model is tried."""

    @abstractmethod
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The model. Raises TranslationError."""

    @abstractmethod
    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """The checkpoint's own outputs, computed in two ways. The distance between them is its spread.

        Both are the same if there is only one way.
        """

    def aligned(self, outputs: Outputs, reference: Outputs) -> Outputs:  # noqa: ARG002 - most keep their order
        """The outputs, ordered so that values with the same meaning are at the same places as in the reference."""
        return outputs

    @property
    def views(self) -> Mapping[str, View]:
        """The squares of each photo on which the model is tried, by what they are."""
        return {"letterbox": letterbox, "centre square": centre_square}

    def as_used(self, name: str, values: NDArray[np.float32], reference: Outputs, side: int) -> Values:  # noqa: ARG002
        """Values of an output in the units of `bar`. `reference` are the checkpoint's, `side` is of the images."""
        return as_used(name, values, side)


def run_onnx(model: bytes, images: NDArray[np.uint8]) -> Outputs:
    """Every output of an exported model, all images as one batch, N×…. Raises TranslationError."""
    return _run(model, images, _ALL)


def run_in_both_ways(model: bytes, images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
    """Every output of an exported model, all images as one batch and one by one. Raises TranslationError."""
    with _explained():
        session = _session(model, _ALL)
        return _outputs(session, images), _one_by_one(session, images)


def run_network(model: bytes, images: NDArray[np.generic]) -> tuple[Outputs, Outputs]:
    """The outputs of a network with one input: by onnxruntime's fused kernels, and by the single operators.

    Raises TranslationError if it cannot be run.
    """
    return run_once(model, images), _run(model, images, _NONE)


def run_once(model: bytes, images: NDArray[np.generic]) -> Outputs:
    """The outputs of a network with one input, all images as one batch if it can. Raises TranslationError."""
    return _run(model, images, _ALL)


def _run(model: bytes, images: NDArray[np.generic], level: onnxruntime.GraphOptimizationLevel) -> Outputs:
    with _explained():
        return _outputs(_session(model, level), images)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except RUNTIME_ERRORS as error:
        raise TranslationError(f"onnxruntime cannot run this model: {error}") from error


def _outputs(session: onnxruntime.InferenceSession, images: NDArray[np.generic]) -> Outputs:
    """All images at once if the model accepts any number, else one by one."""
    if session.get_inputs()[0].shape[0] == 1:
        return _one_by_one(session, images)
    return _answers(session, images)


def _one_by_one(session: onnxruntime.InferenceSession, images: NDArray[np.generic]) -> Outputs:
    runs = [_answers(session, image[np.newaxis]) for image in images]
    return {name: np.concatenate([each[name] for each in runs]) for name in runs[0]}


def _answers(session: onnxruntime.InferenceSession, images: NDArray[np.generic]) -> Outputs:
    (source,) = session.get_inputs()
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {source.name: images}), strict=True))


def _session(model: bytes, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model, _options(level), providers=["CPUExecutionProvider"])


def _options(level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = _SILENT
    return options


def sample_batch(photos: Sequence[Path], size: tuple[int, int], views: Sequence[View]) -> Image:
    """Each photo in each of the views: uint8 N×height×width×3, RGB. Raises FetchError.

    `size` is (width, height). The middle is cut from squares with its longer side.
    """
    images = [_read(photo) for photo in photos]
    squares = np.stack([view(image, max(size)) for image in images for view in views])
    left, top = ((max(size) - side) // 2 for side in size)
    return squares[:, top : top + size[1], left : left + size[0]]


def letterbox(image: Image, side: int) -> Image:
    """The whole image, scaled to fit a square and centred on black."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    new_height, new_width = max(round(height * scale), 1), max(round(width * scale), 1)
    top, left = (side - new_height) // 2, (side - new_width) // 2
    canvas = np.zeros((side, side, 3), np.uint8)
    canvas[top : top + new_height, left : left + new_width] = _resize(image, new_width, new_height)
    return canvas


def centre_square(image: Image, side: int) -> Image:
    """The largest centred square, scaled."""
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    return _resize(image[top : top + edge, left : left + edge], side, side)


def _read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FetchError(f"{path} cannot be read as a photo")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)


def _resize(image: Image, width: int, height: int) -> Image:
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)
