"""A detector that a user brings as an ONNX file: as it is, and as the model made of it."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, helper

from exporters.detectors.alignment import aligned_rows, stacked_rows
from exporters.detectors.forms import FORMS, Form, class_count, fitting, recognised
from exporters.detectors.network import read_network
from exporters.detectors.pixels import with_image_input
from exporters.detectors.rows import with_rows
from exporters.errors import TranslationError, UnknownNameError
from exporters.recipe import BAR, Outputs
from exporters.runners import run_network

_IMAGE_RANK = 4
_CHANNELS = 3
_MOST_SIDE = 4096
"""Pixels of an input; no detector's is half as large."""
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
_PREFIX = "network/"
"""Of every name in the file: it may itself call something `image` or `detections`."""


@dataclass(frozen=True, eq=False)
class AddedDetector:
    """A recipe made from the file itself: `output` of `network` is of `form`; `width` and `height` are its input's."""

    name: str
    network: onnx.ModelProto
    output: str
    form: Form
    width: int
    height: int
    labels: tuple[str, ...]

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """None of the catalogue's."""
        return ()

    @property
    def batches(self) -> bool:
        """Whether it takes any number of images at a time."""
        return not self.network.graph.input[0].type.tensor_type.shape.dim[0].dim_value

    @property
    def bar(self) -> float:
        """That of equal computation."""
        return BAR

    def size(self, _files: Sequence[Path]) -> tuple[int, int]:
        """The input's."""
        return self.width, self.height

    def build(self, _files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Fuse pixels and decoding in; operator sets stay as they are. Raises TranslationError."""
        size = (self.width, self.height)
        network = with_image_input(self.network, self.form.pixels)
        model = with_rows(network, lambda emitter, _: self.form.tail(emitter, self.output, size))
        if not self.batches:
            model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
        helper.set_model_props(model, dict(metadata))
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise TranslationError(f"{self.name} cannot be made a model: {error}") from error
        return model

    def references(self, _files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """The file's own outputs, decoded."""
        kind = self.network.graph.input[0].type.tensor_type.elem_type
        pixels = self.form.pixels.apply(images).astype(helper.tensor_dtype_to_np_dtype(kind))
        fused, plain = run_network(self.network.SerializeToString(), pixels)
        return self._decoded(fused), self._decoded(plain)

    def aligned(self, outputs: Outputs, reference: Outputs) -> Outputs:
        """Boxes and scores of the best rows."""
        return aligned_rows(outputs, reference)

    def _decoded(self, outputs: Outputs) -> Outputs:
        values = outputs[self.output].astype(np.float32)
        return stacked_rows([self.form.decode(value, (self.width, self.height)) for value in values])


def inspected(path: Path, name: str, labels: Sequence[str], form: str | None) -> AddedDetector:
    """Find out what a file is.

    Without `labels` those in its metadata are taken, without `form` the one that it looks like. Raises TranslationError
    where either cannot be told, UnknownNameError for a form that does not exist.
    """
    network = compose.add_prefix(read_network(path), _PREFIX)
    width, height = _input_size(network, path)
    metadata = {prop.key: prop.value for prop in network.metadata_props}
    output, shape, found = _output(network, (width, height), metadata, form)
    named = tuple(labels) or _labels_of(metadata)
    count = class_count(found, shape)
    if not named or count not in (None, len(named)):
        told = "no labels" if not named else f"{len(named)} labels"
        raise TranslationError(f"{path.name} tells {count or 'some'} classes apart, and {told} are given")
    return AddedDetector(name, network, output, found, width, height, named)


def _input_size(network: onnx.ModelProto, path: Path) -> tuple[int, int]:
    if len(network.graph.input) == 1:
        tensor = network.graph.input[0].type.tensor_type
        sides = [side.dim_value for side in tensor.shape.dim]
        images = tensor.elem_type in _FLOATS and len(sides) == _IMAGE_RANK and sides[0] in {0, 1}
        if images and sides[1] == _CHANNELS and all(0 < side <= _MOST_SIDE for side in sides[2:]):
            return sides[3], sides[2]
    raise TranslationError(
        f"{path.name} must have one input, N×3×height×width or 1×3×height×width of floats, with height and width fixed "
        f"and at most {_MOST_SIDE}"
    )


def _output(
    network: onnx.ModelProto, size: tuple[int, int], metadata: Mapping[str, str], form: str | None
) -> tuple[str, tuple[int, ...], Form]:
    """The first output, its shape for one image, and its form."""
    if form is not None and form not in FORMS:
        raise UnknownNameError([form], list(FORMS))
    kind = network.graph.input[0].type.tensor_type.elem_type
    blank = np.zeros((1, _CHANNELS, size[1], size[0]), helper.tensor_dtype_to_np_dtype(kind))
    outputs, _ = run_network(network.SerializeToString(), blank)
    name, values = next(iter(outputs.items()))
    return name, values.shape, fitting(values.shape, FORMS[form]) if form else recognised(values.shape, size, metadata)


def _labels_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Ultralytics writes a Python dictionary, index to name."""
    try:
        names = ast.literal_eval(metadata.get("names", "{}"))
    except (SyntaxError, ValueError):
        return ()
    return tuple(str(names[index]) for index in sorted(names)) if isinstance(names, dict) else ()
