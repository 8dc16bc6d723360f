"""Add a user's own detector, an ONNX file, to the model repository, and choose which detector is used."""

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import compose, helper
from typing_extensions import override

from exporters.catalogue import MODEL_FILE, Paths, load, sha256
from exporters.detectors.network import read_network, with_image_input
from exporters.detectors.output_formats import FORMS, Form, class_count, fitting, recognised
from exporters.detectors.rows import COLUMNS, DetectorRecipe, stacked_rows, with_rows
from exporters.detectors.ultralytics import TAKEN, as_onnx
from exporters.downloads import Listener
from exporters.errors import ExporterError, TranslationError, UnknownNameError
from exporters.export import build_model
from exporters.fetch import fetch_all
from exporters.parity import ParityReport
from exporters.recipe import RUNTIME_ERRORS, Outputs, run_network, run_once
from exporters.repository import building
from exporters.weights.container import require_readable
from steps.networks import IN_USE
from steps.object_detectors import DetectorModel, detector_models

_IMAGE_RANK = 4
_CHANNELS = 3
_MOST_SIDE = 4096
"""Largest side of an input, in pixels. No detector's is half as large."""
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
_PREFIX = "network/"
"""Prefix of every name in the file, which may itself call something `image` or `detections`."""
_TEMPLATE = """# {model}: added from {source!r}. Rows x1, y1, x2, y2 (input pixels), score, class; best first.
platform: "onnxruntime_onnx"
backend: "onnxruntime"
max_batch_size: {batch}
input [
  {{ name: "image" data_type: TYPE_UINT8 dims: [ {image} ] }}
]
output [
  {{ name: "detections" data_type: TYPE_FP32 dims: [ {rows} ] }}
]
{batching}instance_group [ {{ count: 2 }} ]
parameters {{ key: "intra_op_thread_count" value {{ string_value: "1" }} }}
parameters {{ key: "session.intra_op.allow_spinning" value {{ string_value: "0" }} }}
parameters {{
  key: "detector"
  value {{ string_value: {detector} }}
}}
"""
_LARGEST_BATCH = 8
ROLES = ("faces", "plates", "objects")
LABELS: Mapping[str, str] = MappingProxyType({"faces": "face", "plates": "license_plate"})
"""By role, the class name under which the pipelines know what it finds."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


@dataclass(frozen=True)
class Addition:
    """What a user asks for. Without `labels` the file's metadata gives them, without `form` the file's shape does."""

    file: Path
    name: str
    role: str
    labels: Sequence[str] = ()
    form: str | None = None


@dataclass(frozen=True, eq=False)
class AddedDetector(DetectorRecipe):
    """A recipe made from the file. `output` of `network` has the `form`; `width` and `height` are of its input."""

    network: onnx.ModelProto
    output: str
    form: Form
    width: int
    height: int
    labels: tuple[str, ...]

    @property
    def batches(self) -> bool:
        """Whether it accepts any number of images at a time."""
        return not self.network.graph.input[0].type.tensor_type.shape.dim[0].dim_value

    @override
    def size(self, files: Sequence[Path]) -> tuple[int, int]:
        return self.width, self.height

    @override
    def build(self, files: Sequence[Path], metadata: Mapping[str, str]) -> onnx.ModelProto:
        """Add pixel conversion and decoding. Operator sets are not changed. Raises TranslationError."""
        size = (self.width, self.height)
        network = with_image_input(self.network, self.form.pixels)
        model = with_rows(network, lambda emitter, _: self.form.tail(emitter, self.output, size))
        if not self.batches:
            model.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
        helper.set_model_props(model, dict(metadata))
        try:
            onnx.checker.check_model(model)
            _fix_rows(model)
        except (onnx.checker.ValidationError, *RUNTIME_ERRORS) as error:
            raise TranslationError(f"{self.name} cannot be made a model: {error}") from error
        return model

    @override
    def references(self, files: Sequence[Path], images: NDArray[np.uint8]) -> tuple[Outputs, Outputs]:
        """The file's own outputs, decoded."""
        kind = self.network.graph.input[0].type.tensor_type.elem_type
        pixels = self.form.pixels.apply(images).astype(helper.tensor_dtype_to_np_dtype(kind))
        fused, plain = run_network(self.network.SerializeToString(), pixels)
        return self._decoded(fused), self._decoded(plain)

    def _decoded(self, outputs: Outputs) -> Outputs:
        values = outputs[self.output].astype(np.float32)
        return stacked_rows([self.form.decode(value, (self.width, self.height)) for value in values])


def _fix_rows(model: onnx.ModelProto) -> None:
    """Write into a model how many rows it has, if onnxruntime can tell: other versions of it may not be able to."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = session.get_outputs()
    for dimension, size in zip(model.graph.output[0].type.tensor_type.shape.dim, output.shape, strict=True):
        if isinstance(size, int):
            dimension.dim_value = size


def _rows(model: Path) -> int:
    """How many rows a model says that it has. -1 if that depends on the photo."""
    (output,) = onnx.load(model).graph.output
    return output.type.tensor_type.shape.dim[1].dim_value or -1


def add_detector(addition: Addition, *, listener: Listener, paths: Paths) -> ParityReport:
    """Make a model of the file, compare it with the file on the sample photos, configure it and put it into use.

    A single class gets the label of the role, whatever its name. Raises TranslationError, UnknownNameError,
    ParityError, and ExporterError if the name is taken or no class has the role's label. Then nothing is left.
    """
    if addition.role not in ROLES:
        raise UnknownNameError([addition.role], list(ROLES))
    if not re.fullmatch(_NAME, addition.name):
        raise ExporterError(
            f"{addition.name!r} is no name for a model: choose another --name, of A-Z, 0-9, '.', '_', '-'"
        )
    require_readable(addition.file, TAKEN)
    _require_free(addition.name, paths)
    given = {addition.file.name: sha256(addition.file)}
    with as_onnx(addition.file) as file:
        detector = inspected(file, addition.name, addition.labels, addition.form)
    detector = replace(detector, labels=_labels(addition.role, detector.labels))
    photos = [entry.name for entry in load(paths.catalogue).file if entry.kind == "photo"]
    images = fetch_all(photos, listener=listener, paths=paths)
    with building(paths.model_repository) as change:
        _require_free(addition.name, paths)
        with change.draft(paths.model_repository / addition.name) as draft:
            (draft / "1").mkdir()
            written = build_model(detector, [addition.file], images, draft / "1")
            if written.checkpoints != given:
                raise ExporterError(f"{addition.file} changed while it was read; add it again")
            config = _config(addition, detector, _rows(draft / "1" / MODEL_FILE))
            (draft / "config.pbtxt").write_text(config, encoding="utf-8")
    use_detector(addition.name, paths.model_repository)
    return written


def _require_free(name: str, paths: Paths) -> None:
    """Raise ExporterError if a model or a pipeline has the name."""
    folder = paths.model_repository / name
    if folder.exists() or folder.is_symlink():
        raise ExporterError(f"{folder} exists: choose another --name, or remove the folder first")
    if (paths.ensembles / name).exists():
        raise ExporterError(f"{name} is the name of a pipeline: choose another --name")


def _config(addition: Addition, detector: AddedDetector, rows: int) -> str:
    card = DetectorCard(
        addition.role, detector.labels, detector.form.fit, (detector.width, detector.height), detector.form.iou
    )
    return config_text(addition.name, addition.file.name, card, rows, batches=detector.batches)


def _labels(role: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels. One of them is the role's. Raises ExporterError."""
    label = LABELS.get(role)
    if label is None or label in labels:
        return labels
    if len(labels) == 1:
        return (label,)
    raise ExporterError(
        f"which of {', '.join(labels)} are {role}? call that class {label} with --labels, so that the pipelines know it"
    )


def use_detector(name: str, model_repository: Path) -> DetectorModel:
    """Let a detector look for its role from the next start of Triton on.

    Raises UnknownNameError if there is no such detector, ExporterError if its model is not built, OSError.
    """
    models = {model.detector.model: model for model in detector_models(model_repository)}
    if name not in models:
        raise UnknownNameError([name], sorted(models))
    chosen = models[name]
    if not chosen.ready:
        again = f"remove {model_repository / name}, then add it again"
        remedy = again if chosen.added else f"maskwright models export {name}"
        raise ExporterError(f"{name} is not built: {remedy}")
    with building(model_repository):
        (model_repository / name / IN_USE).write_bytes(b"")
        for model in models.values():
            if model.role == chosen.role and model != chosen:
                (model_repository / model.detector.model / IN_USE).unlink(missing_ok=True)
    return chosen


def inspected(path: Path, name: str, labels: Sequence[str], form: str | None) -> AddedDetector:
    """Find out what a file is.

    Without `labels` those in its metadata are used, without `form` the one that fits its shape. Raises TranslationError
    if either cannot be found, UnknownNameError for a form that does not exist.
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
    return AddedDetector(name, (), network, output, found, width, height, named)


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
    outputs = run_once(network.SerializeToString(), blank)
    name, values = next(iter(outputs.items()))
    return name, values.shape, fitting(values.shape, FORMS[form]) if form else recognised(values.shape, size, metadata)


def _labels_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Ultralytics writes a Python dictionary from index to name."""
    try:
        names = ast.literal_eval(metadata.get("names", "{}"))
    except (SyntaxError, ValueError):
        return ()
    return tuple(str(names[index]) for index in sorted(names)) if isinstance(names, dict) else ()


@dataclass(frozen=True)
class DetectorCard:
    """What the pipelines must know of a detector. `size` is (width, height) of its input."""

    role: str
    labels: Sequence[str]
    fit: str
    size: tuple[int, int]
    iou: float
    added: bool = True
    """Whether it replaces the detector that came with Maskwright."""


def config_text(model: str, source: str, card: DetectorCard, rows: int, *, batches: bool) -> str:
    """config.pbtxt of a model with `rows` rows. Without batches, its one image is the first dimension."""
    width, height = card.size
    image, detections = [height, width, 3], [rows, COLUMNS]
    if not batches:
        image, detections = [1, *image], [1, *detections]
    return _TEMPLATE.format(
        model=model,
        source=source,
        batch=_LARGEST_BATCH if batches else 0,
        image=", ".join(map(str, image)),
        rows=", ".join(map(str, detections)),
        batching="dynamic_batching { }\n" if batches else "",
        detector=json.dumps(json.dumps(asdict(card))),
    )
