"""Ensembles as this machine can run them: with its detectors, users' own before those that came with the house."""

import shutil
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from steps.model_config import ModelConfig
from steps.object_detectors import chosen_detectors


def write_ensembles(
    ensembles: Path, model_repository: Path, target: Path, wanted: Container[str]
) -> Mapping[str, list[str]]:
    """Write the `wanted` ensembles that can run into `target`; return the missing models of each, none if written.

    Looking for objects without their detector, an ensemble still finds faces and plates.
    """
    shutil.rmtree(target, ignore_errors=True)
    models = {role: detector.model for role, detector in chosen_detectors(model_repository).items()}
    missing = {}
    for folder in sorted(path.parent for path in ensembles.glob("*/config.pbtxt") if path.parent.name in wanted):
        written = target / folder.name
        (written / "1").mkdir(parents=True)
        (written / "config.pbtxt").write_text(ModelConfig(folder).with_detectors(models), encoding="utf-8")
        missing[folder.name] = list(_missing(ModelConfig(written), model_repository))
        if missing[folder.name]:
            shutil.rmtree(written)
    return missing


def _missing(ensemble: ModelConfig, model_repository: Path) -> Iterable[str]:
    """The models of an ensemble that were not exported: not every machine can fetch them all."""
    for name, _, _ in ensemble.steps:
        model = ModelConfig(model_repository / name)
        if model.backend == "onnxruntime" and not (model.folder / "1" / "model.onnx").is_file():
            yield name
