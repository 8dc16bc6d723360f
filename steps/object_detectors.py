"""Object detectors as their Triton configurations describe them. A user's model needs no code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from steps.model_folder import BrokenModelError, fault_of_model, readable_config
from steps.networks import IN_USE
from vision.object_detector import SMALLEST, ObjectDetector, Scout
from vision.tiles import Fit

ROLES = ("faces", "plates", "objects")
FINDER = "detect_find"
"""The step that runs the detectors."""
PARAMETER = "detector"
"""Parameter of config.pbtxt. Its value is a JSON object."""
MODEL = Path("1", "model.onnx")


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
    """A detector of the model repository. `role` says what it detects: faces, plates or objects.

    It is `ready` if its model was built, `added` if a user brought it, and `used` if a user chose it.
    """

    role: str
    detector: ObjectDetector
    added: bool
    ready: bool
    used: bool


@dataclass(frozen=True)
class Detectors:
    """The detectors of a model repository by name, and the faults of its unusable models."""

    models: Sequence[DetectorModel]
    broken: Mapping[str, str]


def detector_model(folder: Path) -> DetectorModel | None:
    """The detector in a model's folder, None if the model is not a detector. Raises BrokenModelError."""
    config = readable_config(folder)
    if PARAMETER not in config.parameters:
        return None
    try:
        value = _checked(json.loads(config.parameters[PARAMETER]))
        detector = _detector(config.name, value, folder.parent)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise BrokenModelError(f"{folder / 'config.pbtxt'}: the parameter {PARAMETER}: {what}") from error
    return DetectorModel(
        role=value["role"],
        detector=detector,
        added=value.get("added", False),
        ready=_is_ready(folder),
        used=(folder / IN_USE).is_file(),
    )


def _detector(name: str, value: _Description, model_repository: Path) -> ObjectDetector:
    width, height = value["size"]
    return ObjectDetector(
        model=name,
        labels=tuple(value["labels"]),
        fit=Fit(value["fit"]),
        size=(width, height),
        iou=value["iou"],
        multiple=value.get("multiple"),
        smallest=value.get("smallest", SMALLEST),
        halvings=value.get("halvings", 0),
        scout=_scout(value, model_repository),
    )


def _checked(value: _Description) -> _Description:
    """The description, which a person may have written. Raises ValueError, KeyError, TypeError or AttributeError."""
    numbers = [*value["size"], *(value.get(name, 1) or 1 for name in ("multiple", "smallest"))]
    scout = value.get("scout") or {"model": "any", "score": 0}
    wrong = {
        f"role is one of {', '.join(ROLES)}": value["role"] not in ROLES,
        "labels are texts": not value["labels"] or not all(isinstance(one, str) and one for one in value["labels"]),
        "size, multiple and smallest are whole numbers of pixels": not all(_is_whole(one, 1) for one in numbers),
        "iou is a number from 0 to 1": not _is_share(value["iou"]),
        "halvings is a whole number": not _is_whole(value.get("halvings", 0), 0),
        "scout has the name of a model and a score": not (
            isinstance(scout["model"], str) and "/" not in scout["model"] and _is_share(scout["score"])
        ),
    }
    for right, is_wrong in wrong.items():
        if is_wrong:
            raise ValueError(right)
    return value


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1


def networks_of(model_repository: Path) -> list[str]:
    """The models that the chosen detectors run, including their scouts, each once."""
    detectors = chosen_detectors(model_repository).values()
    scouts = [detector.scout.model for detector in detectors if detector.scout is not None]
    return sorted({*(detector.model for detector in detectors), *scouts})


def detectors_of(model_repository: Path) -> Detectors:
    """Every detector of a repository. A folder that cannot be used does not stop the others."""
    models, broken = [], {}
    for folder in sorted(path.parent for path in model_repository.glob("*/config.pbtxt")):
        try:
            model = detector_model(folder)
        except BrokenModelError as error:
            broken[folder.name] = str(error)
            continue
        if model is not None:
            models.append(model)
        if fault := _fault_of_built(folder):
            broken[folder.name] = fault
    return Detectors(models, broken)


def detector_models(model_repository: Path) -> Sequence[DetectorModel]:
    """Every detector of a repository that can be read, by name."""
    return detectors_of(model_repository).models


def chosen_detectors(model_repository: Path) -> Mapping[str, ObjectDetector]:
    """The detector of each role that has a ready one, faces first.

    It is the one that a user chose, else one that a user added, else our own, and the first by name among several.
    Ensembles run the same detectors, because the launcher writes them so.
    """
    ready = [model for model in detector_models(model_repository) if model.ready]
    ready.sort(key=lambda model: (not model.used, not model.added))
    chosen = {model.role: model.detector for model in reversed(ready)}
    return {role: chosen[role] for role in ROLES if role in chosen}


def _scout(value: _Description, model_repository: Path) -> Scout | None:
    """None if its model was not built. The detector then searches everywhere itself."""
    scout = value.get("scout")
    return Scout(**scout) if scout is not None and _is_ready(model_repository / scout["model"]) else None


def _is_ready(folder: Path) -> bool:
    return (folder / MODEL).exists() and not _fault_of_built(folder)


def _fault_of_built(folder: Path) -> str:
    """What is wrong with a model's file. Empty if there is no file, as before it is built."""
    fault = fault_of_model(folder / MODEL) if (folder / MODEL).exists() else ""
    return f"{folder / MODEL}: {fault}" if fault else ""
