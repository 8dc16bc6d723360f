"""Object detectors as their Triton configurations describe them: a user's model needs no code."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

from steps.model_config import ModelConfig
from vision.fit import Fit
from vision.object_detector import SMALLEST, ObjectDetector, Scout

ROLES = ("faces", "plates", "objects")
PARAMETER = "detector"
"""Of config.pbtxt; its value is a JSON object."""
IN_USE = "in_use"
"""A file in the folder of the detector that a user chose for its role (`maskwright models use`)."""


class _Scout(TypedDict):
    model: str
    score: float


class _Description(TypedDict, total=False):
    role: str
    labels: list[str]
    fit: str
    size: tuple[int, int]
    multiple: int
    iou: float
    smallest: int
    halvings: int
    scout: _Scout
    added: bool


@dataclass(frozen=True)
class DetectorModel:
    """A detector of the model repository; `role` says what it is for: faces, plates, objects.

    It is `ready` where its model was built, `added` where a user brought it, and `used` where a user chose it.
    """

    role: str
    detector: ObjectDetector
    added: bool
    ready: bool
    used: bool


def detector_model(folder: Path) -> DetectorModel | None:
    """The detector in a model's folder, None where the model is none."""
    config = ModelConfig(folder)
    if PARAMETER not in config.parameters:
        return None
    value = cast("_Description", json.loads(config.parameters[PARAMETER]))
    width, height = value["size"]
    detector = ObjectDetector(
        model=config.name,
        labels=tuple(value["labels"]),
        fit=Fit(value["fit"]),
        size=(width, height),
        iou=value["iou"],
        multiple=value.get("multiple"),
        smallest=value.get("smallest", SMALLEST),
        halvings=value.get("halvings", 0),
        scout=_scout(value, folder.parent),
    )
    return DetectorModel(
        role=value["role"],
        detector=detector,
        added=value.get("added", False),
        ready=_is_ready(folder),
        used=(folder / IN_USE).is_file(),
    )


def networks_of(model_repository: Path) -> list[str]:
    """The models that the chosen detectors run, their scouts among them, each once."""
    detectors = chosen_detectors(model_repository).values()
    scouts = [detector.scout.model for detector in detectors if detector.scout is not None]
    return sorted({*(detector.model for detector in detectors), *scouts})


def detector_models(model_repository: Path) -> Iterator[DetectorModel]:
    """Every detector of a repository, by name."""
    for config in sorted(model_repository.glob("*/config.pbtxt")):
        model = detector_model(config.parent)
        if model is not None:
            yield model


def chosen_detectors(model_repository: Path) -> Mapping[str, ObjectDetector]:
    """The detector of each role that has one that is ready, faces first.

    It is the one that a user chose, else one that a user added, else our own; of several the first by name. Ensembles
    run the same ones: the launcher writes them so.
    """
    ready = [model for model in detector_models(model_repository) if model.ready]
    ready.sort(key=lambda model: (not model.used, not model.added))
    chosen = {model.role: model.detector for model in reversed(ready)}
    return {role: chosen[role] for role in ROLES if role in chosen}


def _scout(value: _Description, model_repository: Path) -> Scout | None:
    """None where its model was not built: the detector then looks everywhere itself."""
    scout = value.get("scout")
    return Scout(**scout) if scout is not None and _is_ready(model_repository / scout["model"]) else None


def _is_ready(folder: Path) -> bool:
    return (folder / "1" / "model.onnx").is_file()
