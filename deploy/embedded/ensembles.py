"""Ensembles as this machine can run them: with its detectors, users' own before those that came with the house."""

import functools
import hashlib
import shutil
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path

from gateway.triton import WEIGHTS
from steps.model_config import BrokenModelError, ModelConfig, readable_config
from steps.object_detectors import MODEL, networks_of
from steps.onnx_file import fault_of_model

FINDER = "detect_find"
"""The step that runs the detectors."""


def write_ensembles(
    ensembles: Path, model_repository: Path, target: Path, wanted: Container[str]
) -> Mapping[str, list[str]]:
    """Write the `wanted` ensembles that can run into `target`; return the missing models of each, none if written."""
    shutil.rmtree(target, ignore_errors=True)
    digest_of = functools.cache(_digest)  # ensembles share models
    missing = {}
    for folder in sorted(path.parent for path in ensembles.glob("*/config.pbtxt") if path.parent.name in wanted):
        written = target / folder.name
        (written / "1").mkdir(parents=True)
        shutil.copy(folder / "config.pbtxt", written)
        missing[folder.name] = list(_missing(ModelConfig(written), model_repository))
        if missing[folder.name]:
            shutil.rmtree(written)
        else:
            _note_weights(ModelConfig(written), model_repository, digest_of)
    return missing


def write_served(ensembles: Path, model_repository: Path, target: Path) -> None:
    """Link the ensembles, and every model that they run, into `target`, and nothing else.

    It is a repository from which Triton may load all there is: it takes any other folder of ours for a model too.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    folders = [path.parent for path in ensembles.glob("*/config.pbtxt")]
    models = {model for folder in folders for model in models_of(ModelConfig(folder), model_repository)}
    for folder in (*folders, *(model_repository / model for model in models)):
        (target / folder.name).symlink_to(folder)


def _note_weights(ensemble: ModelConfig, model_repository: Path, digest_of: Callable[[Path], bytes]) -> None:
    """Let an ensemble say what it is made of, so that results of other detectors are not taken for its own."""
    digest = hashlib.sha256()
    for name in models_of(ensemble, model_repository):
        folder = model_repository / name
        digest.update(name.encode())
        for file in (folder / "config.pbtxt", folder / MODEL):
            digest.update(digest_of(file))
    with (ensemble.folder / "config.pbtxt").open("a", encoding="utf-8") as config:
        config.write(f'parameters {{ key: "{WEIGHTS}" value {{ string_value: "{digest.hexdigest()}" }} }}\n')


def models_of(ensemble: ModelConfig, model_repository: Path) -> list[str]:
    """Every model that an ensemble runs: its steps, and the networks of the step that looks for objects."""
    steps = [name for name, _, _ in ensemble.steps]
    return [*steps, *networks_of(model_repository)] if FINDER in steps else steps


def _digest(file: Path) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest() if file.is_file() else b"-"


def _missing(ensemble: ModelConfig, model_repository: Path) -> Iterable[str]:
    """The models of an ensemble that were not exported, or are broken: not every machine can fetch them all."""
    for name, _, _ in ensemble.steps:
        try:
            model = readable_config(model_repository / name)
        except BrokenModelError:
            yield name
            continue
        if model.backend == "onnxruntime" and fault_of_model(model.folder / MODEL):
            yield name
