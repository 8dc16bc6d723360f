"""The ensembles that the embedded Triton serves: the checkout's, with the detectors that were added in their places."""

import shutil
from pathlib import Path

from steps.model_config import ModelConfig
from steps.object_detectors import detectors_by_role


def write_ensembles(ensembles: Path, model_repository: Path, target: Path) -> None:
    """Write every ensemble into `target`, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    detectors = detectors_by_role(model_repository).items()
    added = {role: model.detector.model for role, model in detectors if model.added}
    for folder in sorted(path.parent for path in ensembles.glob("*/config.pbtxt")):
        model = target / folder.name
        (model / "1").mkdir(parents=True)
        (model / "config.pbtxt").write_text(ModelConfig(folder).with_detectors(added), encoding="utf-8")


def missing_models(ensemble: Path, model_repository: Path) -> list[str]:
    """The models of an ensemble that were not exported: not every machine can fetch them all."""
    models = (ModelConfig(model_repository / name) for name, _, _ in ModelConfig(ensemble).steps)
    onnx = (model for model in models if model.backend == "onnxruntime")
    return [model.name for model in onnx if not (model.folder / "1" / "model.onnx").is_file()]
