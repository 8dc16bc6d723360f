"""Make a form of a model: `maskwright models optimise`.

A form never serves by itself. `maskwright models use` chooses it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf import text_format

from exporters.catalogue import FORM_FILE, MODEL_FILE, Paths, sha256
from exporters.downloads import Listener
from exporters.errors import ExporterError, TranslationError, UnknownNameError
from exporters.forms.photos import Photos, photos_of, sample_photos
from exporters.forms.precision import Precision, in_eight_bits, in_half_precision
from exporters.forms.report import FormReport, Session, answers_compared, speed_compared
from exporters.networks.known import NETWORKS
from exporters.onnx_model import IR_VERSION
from exporters.recipe import RUNTIME_ERRORS
from exporters.recipes import RECIPES
from exporters.repository import building
from steps.graph_signature import UnfitConfigError, require_fit
from steps.model_folder import BrokenModelError, fault_of_model, readable_config
from steps.networks import IN_USE
from steps.object_detectors import MODEL, PARAMETER, detector_models
from steps.onnx_session import SessionOptions, load_graph

_POSE_SIZE = (144, 184)
"""(width, height) of what the pipelines give to OpenPose: a canvas of 3:4 as `network_input` draws it."""


@dataclass(frozen=True)
class Wish:
    """Which form of which model. `calibration` is a folder of photos; the sample photos without."""

    model: str
    precision: Precision
    calibration: Path | None = None

    @property
    def form(self) -> str:
        """The form's name."""
        return f"{self.model}_{self.precision}"


@dataclass(frozen=True)
class Made:
    """A form, and the files that were passed over with the reason of each."""

    report: FormReport
    passed_over: Mapping[str, str]


def make_form(wish: Wish, *, listener: Listener, paths: Paths) -> Made:
    """Make the form, compare it with its model on the photos, and write it beside the model.

    A form that was made before is replaced. Raises UnknownNameError, ExporterError, TranslationError, OSError. Then
    nothing is left, and what was there stays.
    """
    source = _source(wish, paths)
    photos = _photos(wish, _image_size(source), listener, paths)
    with (
        listener.watching(wish.form),
        building(paths.model_repository) as change,
        change.draft(paths.model_repository / wish.form) as draft,
    ):
        (draft / "1").mkdir()
        report = _written(wish, source, photos, draft)
        if (paths.model_repository / wish.form / IN_USE).exists():
            (draft / IN_USE).touch()
    return Made(report, photos.passed_over)


def _source(wish: Wish, paths: Paths) -> Path:
    """The folder of the model. Raises UnknownNameError, ExporterError."""
    ready, ours = _servable(paths), {recipe.name for recipe in RECIPES}
    if wish.model not in ready and wish.model in ours:
        raise ExporterError(f"{wish.model} is a part of ensembles, which run it by its name: it has no forms")
    if wish.model not in ready:
        raise UnknownNameError([wish.model], sorted(ready))
    if wish.form in ours:
        raise ExporterError(f"{wish.form} is there already: `maskwright models use {wish.form}` chooses it")
    target = paths.model_repository / wish.form
    if target.exists() and not (target / "1" / FORM_FILE).is_file():
        raise ExporterError(f"{target} is there and no form of {wish.model}; rename or remove it")
    return paths.model_repository / wish.model


def _servable(paths: Paths) -> set[str]:
    """Detectors and users' networks whose models are complete, without forms: those of which a form can be chosen."""
    repository = paths.model_repository
    detectors = {model.detector.model for model in detector_models(repository) if model.ready}
    networks = {network.model for network in NETWORKS if not fault_of_model(repository / network.model / MODEL)}
    return {name for name in detectors | networks if not (repository / name / "1" / FORM_FILE).is_file()}


def _image_size(source: Path) -> tuple[int, int]:
    """(width, height) of the images that the model gets in the pipelines."""
    try:
        config = readable_config(source)
    except BrokenModelError as error:
        raise ExporterError(str(error)) from error
    if PARAMETER in config.parameters:
        width, height = json.loads(config.parameters[PARAMETER])["size"]
        return width, height
    height, width, _ = config.signature.inputs[0].dims[-3:]
    return (width, height) if min(width, height) > 0 else _POSE_SIZE


def _photos(wish: Wish, size: tuple[int, int], listener: Listener, paths: Paths) -> Photos:
    if wish.calibration is not None:
        task = f"photos of {wish.calibration}"
        with listener.watching(task):
            return photos_of(wish.calibration, size, lambda count: listener.advanced(task, count))
    return sample_photos(size, listener, paths)


def _written(wish: Wish, source: Path, photos: Photos, draft: Path) -> FormReport:
    before, target = sha256(source / MODEL), draft / "1" / MODEL_FILE
    ranges, apart = photos.split() if wish.precision is Precision.INT8 else (photos, photos)
    onnx.save(_formed(wish, source / MODEL, ranges), target)
    (draft / "config.pbtxt").write_text(_config(wish, source), encoding="utf-8")
    model, form = Session(source / MODEL), Session(target)
    found = answers_compared(model, form, apart.images)
    _require_fit(wish, draft)
    if sha256(source / MODEL) != before:
        raise ExporterError(f"{wish.model} changed while its form was made; make it again")
    report = FormReport(
        model=wish.form,
        source=wish.model,
        source_sha256=before,
        model_sha256=sha256(target),
        calibrated_on=tuple(ranges.names) if wish.precision is Precision.INT8 else (),
        compared_on=tuple(apart.names),
        speed=speed_compared(model, form, apart.images),
        **dict(found),
    )
    (draft / "1" / FORM_FILE).write_text(report.model_dump_json(indent=2), encoding="utf-8")
    return report


def _formed(wish: Wish, model: Path, photos: Photos) -> onnx.ModelProto:
    graph = onnx.load(model)
    try:
        formed = in_eight_bits(graph, photos.images) if wish.precision is Precision.INT8 else in_half_precision(graph)
        formed.ir_version = min(formed.ir_version, IR_VERSION)
        onnx.checker.check_model(formed)
    except (TranslationError, ValueError, onnx.checker.ValidationError, *RUNTIME_ERRORS) as error:
        raise TranslationError(f"{wish.model} has no form in {wish.precision}: {error}") from error
    return formed


def _config(wish: Wish, source: Path) -> str:
    """The model's configuration. A form of an added detector is not one that was added: it would serve by itself."""
    config = readable_config(source).message()
    config.ClearField("name")
    if PARAMETER in config.parameters:
        description = json.loads(config.parameters[PARAMETER].string_value)
        description.pop("added", None)
        config.parameters[PARAMETER].string_value = json.dumps(description)
    told = f"# {wish.model} in {wish.precision}: instead of it after `maskwright models use {wish.form}`.\n"
    return told + text_format.MessageToString(config)


def _require_fit(wish: Wish, draft: Path) -> None:
    """Raise TranslationError unless Triton would load the form as its configuration says."""
    config = readable_config(draft)
    graph = load_graph(draft, SessionOptions(intra_op_thread_count=1))
    try:
        require_fit(wish.form, config.signature, config.max_batch_size, graph.signature)
    except UnfitConfigError as error:
        raise TranslationError(str(error)) from error
