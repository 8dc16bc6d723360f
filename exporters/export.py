"""Exporting models: checkpoint to model.onnx and parity.json, or neither."""

from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from exporters import parity, recipes, report
from exporters.catalogue import Catalogue, load
from exporters.digest import sha256
from exporters.fetch import fetch_all
from exporters.listener import Listener, Silence
from exporters.paths import DEFAULT_PATHS, Paths
from exporters.recipes import Recipe
from exporters.report import ParityReport
from exporters.samples import sample_batch
from exporters.tflite.reader import read
from exporters.tflite.translate import translate


class ModelState(str, Enum):
    """Of an exported model on this machine."""

    READY = "ready"
    MISSING = "missing"
    STALE = "stale"
    CORRUPT = "corrupt"


def model_state(recipe: Recipe, catalogue: Catalogue, paths: Paths) -> ModelState:
    """Whether the model is there, is the one its report describes, and is what an export would make today."""
    model, written = paths.model(recipe.name), report.read(paths.parity(recipe.name))
    if not model.exists():
        return ModelState.MISSING
    if written is None or sha256(model) != written.model_sha256:
        return ModelState.CORRUPT
    if any(output.verdict == "failed" for output in written.outputs):
        return ModelState.CORRUPT
    (entry,) = catalogue.select([recipe.checkpoint])
    current = (entry.sha256, report.exporter_fingerprint())
    return ModelState.READY if (written.checkpoint_sha256, written.exporter) == current else ModelState.STALE


def export_models(
    names: Sequence[str] = (), *, listener: Listener | None = None, paths: Paths = DEFAULT_PATHS
) -> list[ParityReport]:
    """Export the models `names` that are not ready, fetching what they need; without names, all that a pipeline uses.

    Returns the parity reports, also of models that were ready. Raises what fetching raises, TranslationError, and
    ParityError; then no model is left.
    """
    catalogue = load(paths.catalogue)
    chosen = recipes.select(names, catalogue)
    return [_ensure(recipe, catalogue, listener or Silence(), paths) for recipe in chosen]


def _ensure(recipe: Recipe, catalogue: Catalogue, listener: Listener, paths: Paths) -> ParityReport:
    written = report.read(paths.parity(recipe.name))
    if written is not None and model_state(recipe, catalogue, paths) is ModelState.READY:
        return written
    photos = [entry.name for entry in catalogue.file if entry.kind == "photo"]
    checkpoint, *_ = fetch_all([recipe.checkpoint], listener=listener, paths=paths)
    inputs = fetch_all(photos, listener=listener, paths=paths)
    listener.started(recipe.name, None)
    try:
        return _export(recipe, checkpoint, inputs, paths)
    finally:
        listener.finished(recipe.name)


def _export(recipe: Recipe, checkpoint: Path, photos: Sequence[Path], paths: Paths) -> ParityReport:
    model, written = paths.model(recipe.name), paths.parity(recipe.name)
    model.unlink(missing_ok=True)
    written.unlink(missing_ok=True)
    graph = read(checkpoint)
    side = graph.tensors[graph.inputs[0]].shape[1]
    digest, exporter = sha256(checkpoint), report.exporter_fingerprint()
    content = translate(
        graph, recipe.input_range, recipe.outputs, {"checkpoint_sha256": digest, "exporter": exporter}
    ).SerializeToString()
    outputs = parity.compare(checkpoint, content, recipe, sample_batch(photos, side))
    parity.require(outputs, recipe.name)
    model.parent.mkdir(parents=True, exist_ok=True)
    _replace(model, content)
    result = ParityReport(
        model=recipe.name,
        checkpoint=recipe.checkpoint,
        checkpoint_sha256=digest,
        model_sha256=sha256(model),
        exporter=exporter,
        inputs=tuple(f"{photo.name}: {kind}" for photo in photos for kind in ("letterbox", "centre square")),
        outputs=outputs,
    )
    _replace(written, result.model_dump_json(indent=2).encode())
    return result


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
