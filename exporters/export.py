"""Export models: from a checkpoint to model.onnx and parity.json, or to neither."""

from collections.abc import Sequence
from enum import StrEnum
from hashlib import sha256 as new_sha256
from pathlib import Path

from exporters import recipes
from exporters.catalogue import DEFAULT_PATHS, MODEL_FILE, PARITY_FILE, Catalogue, Paths, load, sha256
from exporters.downloads import Listener
from exporters.errors import ExporterError, TranslationError
from exporters.fetch import fetch_all, selectable
from exporters.parity import ParityReport, compare, exporter_fingerprint, read_report, require
from exporters.recipe import Recipe, sample_batch
from exporters.repository import Building, building


class ModelState(StrEnum):
    """State of an exported model on this machine."""

    READY = "ready"
    MISSING = "missing"
    STALE = "stale"
    CORRUPT = "corrupt"


def model_state(recipe: Recipe, catalogue: Catalogue, paths: Paths) -> ModelState:
    """Whether the model exists, is the one its report describes, and is what an export would make today."""
    found = _file_state(recipe.name, paths)
    written = read_report(paths.parity(recipe.name))
    if found is not ModelState.READY or written is None:
        return found
    current = (_catalogued(recipe, catalogue), exporter_fingerprint())
    return ModelState.READY if (written.checkpoints, written.exporter) == current else ModelState.STALE


def added_models(paths: Paths) -> dict[str, ModelState]:
    """The models that users added, by name. They are exported too, but by no recipe here."""
    exported = {path.parent.parent.name for path in paths.model_repository.glob("*/1/parity.json")}
    own = exported.difference(recipe.name for recipe in recipes.RECIPES)
    return {name: _file_state(name, paths) for name in sorted(own)}


def export_models(
    names: Sequence[str] = (), *, listener: Listener | None = None, paths: Paths = DEFAULT_PATHS
) -> list[ParityReport]:
    """Export the models `names` that are not ready, and fetch what they need.

    Without names: all that a pipeline uses and whose checkpoints can be had here. Returns the parity reports, also of
    models that were ready. Raises what fetching raises, TranslationError, and ParityError. Then no model is left.
    """
    catalogue = load(paths.catalogue)
    chosen = recipes.select(names, selectable(names, paths))
    return [_ensure(recipe, catalogue, listener or Listener(), paths) for recipe in chosen]


def _file_state(name: str, paths: Paths) -> ModelState:
    """Whether the model exists and is the one its report describes."""
    model, written = paths.model(name), read_report(paths.parity(name))
    if not model.exists():
        return ModelState.MISSING
    if written is None or sha256(model) != written.model_sha256:
        return ModelState.CORRUPT
    failed = any(output.verdict == "failed" for output in written.outputs)
    return ModelState.CORRUPT if failed else ModelState.READY


def _ensure(recipe: Recipe, catalogue: Catalogue, listener: Listener, paths: Paths) -> ParityReport:
    if (ready := _ready(recipe, catalogue, paths)) is not None:
        return ready
    photos = [entry.name for entry in catalogue.file if entry.kind == "photo"]
    checkpoints = _fetched(recipe, listener, paths)
    inputs = fetch_all(photos, listener=listener, paths=paths)
    with listener.watching(recipe.name), building(paths.model_repository) as change:
        return _ready(recipe, catalogue, paths) or _export(recipe, checkpoints, inputs, paths, change)


def _ready(recipe: Recipe, catalogue: Catalogue, paths: Paths) -> ParityReport | None:
    """The report of a model that needs no export, because another process may have made it meanwhile."""
    written = read_report(paths.parity(recipe.name))
    return written if model_state(recipe, catalogue, paths) is ModelState.READY else None


def _export(
    recipe: Recipe, checkpoints: Sequence[Path], photos: Sequence[Path], paths: Paths, change: Building
) -> ParityReport:
    version = paths.model(recipe.name).parent
    try:
        with change.draft(version) as draft:
            return build_model(recipe, checkpoints, photos, draft)
    except ExporterError:
        change.remove(version)
        raise


def build_model(recipe: Recipe, checkpoints: Sequence[Path], photos: Sequence[Path], version: Path) -> ParityReport:
    """Build a model from the files `checkpoints` in its own folder, and compare it with them on `photos`.

    Raises TranslationError, also if a file changes meanwhile, and ParityError.
    """
    digests, exporter = _digests(checkpoints), exporter_fingerprint()
    content = recipe.build(checkpoints, {**digests, "exporter": exporter}).SerializeToString()
    images = sample_batch(photos, recipe.size(checkpoints), list(recipe.views.values()))
    outputs = compare(recipe, checkpoints, content, images)
    require(outputs, recipe.name)
    if _digests(checkpoints) != digests:
        raise TranslationError(f"{', '.join(digests)} changed while the model {recipe.name} was made; export it again")
    result = ParityReport(
        model=recipe.name,
        checkpoints=digests,
        model_sha256=new_sha256(content).hexdigest(),
        exporter=exporter,
        inputs=tuple(f"{photo.name}: {kind}" for photo in photos for kind in recipe.views),
        outputs=outputs,
    )
    (version / MODEL_FILE).write_bytes(content)
    (version / PARITY_FILE).write_text(result.model_dump_json(indent=2), encoding="utf-8")
    return result


def _digests(files: Sequence[Path]) -> dict[str, str]:
    return {path.name: sha256(path) for path in files}


def _fetched(recipe: Recipe, listener: Listener, paths: Paths) -> list[Path]:
    """The recipe's files in its order, which may differ from the catalogue's."""
    fetch_all(recipe.checkpoints, listener=listener, paths=paths)
    return [paths.files / name for name in recipe.checkpoints]


def _catalogued(recipe: Recipe, catalogue: Catalogue) -> dict[str, str]:
    return {entry.name: entry.sha256 for entry in catalogue.select(recipe.checkpoints)}
