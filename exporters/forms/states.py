"""Whether the forms in the repository are what they were made as."""

from pathlib import Path

from exporters.catalogue import FORM_FILE, MODEL_FILE, Paths, sha256
from exporters.export import ModelState
from exporters.forms.report import read_form


def form_states(paths: Paths) -> dict[str, ModelState]:
    """The forms in the repository, by name. One is stale if its model is no longer what it was made of."""
    files = sorted(paths.model_repository.glob(f"[!.]*/1/{FORM_FILE}"))
    return {file.parent.parent.name: _form_state(file, paths) for file in files}


def _form_state(file: Path, paths: Paths) -> ModelState:
    model, written = file.with_name(MODEL_FILE), read_form(file)
    if not model.exists():
        return ModelState.MISSING
    if written is None or sha256(model) != written.model_sha256:
        return ModelState.CORRUPT
    source = paths.model(written.source)
    same = source.exists() and sha256(source) == written.source_sha256
    return ModelState.READY if same else ModelState.STALE
