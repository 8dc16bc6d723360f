"""Which detector looks for what, where several could."""

from pathlib import Path

from exporters.errors import ExporterError, UnknownNameError
from exporters.repository import building
from steps.object_detectors import IN_USE, DetectorModel, detector_models


def use_detector(name: str, model_repository: Path) -> DetectorModel:
    """Let a detector look for its role from the next start of Triton on.

    Raises UnknownNameError where there is no such detector, ExporterError where its model is not built, OSError.
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
