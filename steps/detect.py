"""The steps of `detect`: find every object in a photo, and list them as JSON."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from steps.detector_windows import SURE, Looker, Network
from steps.photo import EncodedPhoto
from steps.tensors import (
    InputError,
    JsonObject,
    Step,
    Tensors,
    carrying_failures,
    completed,
    json_object,
    json_tensor,
    refused,
    require_success,
)
from vision.arrays import RGB, Box, Corners, Size
from vision.object_detector import Detections, ObjectDetector
from vision.tiles import View

FACE, PLATE, PERSON = "face", "license_plate", "person"
GROUPS: Mapping[str, tuple[str, ...]] = {
    "faces": (FACE,),
    "plates": (PLATE,),
    "persons": (PERSON,),
    "vehicles": ("bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
}
"""Labels by group. The vehicles are those of COCO's supercategory."""


def labels_of(names: Iterable[str], known: Collection[str]) -> frozenset[str]:
    """The known labels that groups and labels stand for.

    Raises InputError (class_unknown) for an unknown name: objects that nobody looks for would stay visible.
    """
    return frozenset(label for name in names for label in _labels(name, known))


def _labels(name: str, known: Collection[str]) -> list[str]:
    labels = [label for label in GROUPS.get(name, (name,)) if label in known]
    if not labels:
        raise InputError(
            "class_unknown", f"no model here finds {name[:60]!r}; groups: {', '.join(GROUPS)}; classes: {_list(known)}"
        )
    return labels


def _list(known: Collection[str]) -> str:
    return ", ".join(sorted(known))


SMALLEST_FACE = 20.0
"""Pixels of the photo. CenterFace finds this size reliably at the photo's own scale. Smaller faces can hardly identify
anybody."""
SMALLEST_OBJECT = 64.0
"""Pixels of the photo. Nobody could recognise the face of a person this high, and few could read a plate this wide."""
PERHAPS = 0.2
"""If the best face in a quick look at a turned photo scores this, the photo may be turned so."""
FACES = "faces"
"""The role of the detector that chooses the directions."""
QUARTERS = (0, 1, 2, 3)
DEGREES = 90

Networks = Callable[[str], Network]
"""The network of a model, by the model's name."""


@dataclass(frozen=True)
class Thresholds:
    """The least score of each class. Recall comes first: hiding too much costs less than showing something.

    The face threshold is that of deface. At 0.2 one plate in seven is missed (docs/detect.md).
    """

    default: float = 0.3
    by_label: Mapping[str, float] = field(default_factory=lambda: {FACE: 0.2, PLATE: 0.1})

    @classmethod
    def from_json(cls, value: JsonObject) -> "Thresholds":
        """Scores by label or group. A label that is not named keeps its default."""
        given = cast("Mapping[str, float]", value)
        groups = {label: score for name, score in given.items() for label in GROUPS.get(name, (name,))}
        return cls(by_label={**cls().by_label, **groups})

    def of(self, label: str) -> float:
        """The least score of a class."""
        return self.by_label.get(label, self.default)

    def passing(self, found: Detections) -> Detections:
        """The detections that score enough for their class."""
        least = np.array([self.of(label) for label in found.labels], dtype=np.float32)
        return found.select(found.scores >= least)


@dataclass(frozen=True)
class Search:
    """What one request looks for: labels and groups (None: everything), sizes in photo pixels, and directions.

    `rotations` is `none`, `all`, or `auto`: other directions are searched only if no sure face is upright.
    """

    names: tuple[str, ...] | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    smallest_face: float = SMALLEST_FACE
    smallest_object: float = SMALLEST_OBJECT
    rotations: str = "auto"

    @classmethod
    def from_json(cls, value: JsonObject) -> "Search":
        """From the parameters of `privacy_blur` (`hide`) or of `detect` (`classes`, where no class means all)."""
        names = value.get("hide", value.get("classes") or None)
        return cls(
            names=None if names is None else tuple(cast("list[str]", names)),
            thresholds=Thresholds.from_json(cast("JsonObject", value.get("thresholds", {}))),
            smallest_face=cast("float", value.get("smallest_face", cls.smallest_face)),
            smallest_object=cast("float", value.get("smallest_object", cls.smallest_object)),
            rotations=cast("str", value.get("rotations", cls.rotations)),
        )


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One object: its box in source pixels, the model that found it, and its four corners if the model gave them."""

    label: str
    score: float
    box: Box
    model: str
    corners: Corners | None = None

    @classmethod
    def from_json(cls, value: JsonObject) -> "FoundObject":
        """Read what `description` wrote."""
        corners = cast("list[tuple[float, float]]", value.get("corners", []))
        x1, y1, x2, y2 = cast("Box", value["box"])
        score, model = cast("float", value["score"]), cast("str", value["model"])
        return cls(
            cast("str", value["label"]), score, (x1, y1, x2, y2), model, tuple((x, y) for x, y in corners) or None
        )

    def description(self) -> JsonObject:
        """The object in a result."""
        box = [round(value, 2) for value in self.box]
        described: JsonObject = {"label": self.label, "score": round(self.score, 4), "box": box, "model": self.model}
        if self.corners is None:
            return described
        return {**described, "corners": [[round(x, 2), round(y, 2)] for x, y in self.corners]}


@dataclass(frozen=True)
class Findings:
    """Every detected object, the labels that were searched for, and how closely."""

    objects: Sequence[FoundObject]
    known: frozenset[str]
    looked: JsonObject

    @classmethod
    def of(cls, tensors: Tensors) -> "Findings":
        """From `context` BYTES [1] of the first step. Raises the InputError that it handed on."""
        context = json_object(tensors["context"])
        require_success(context)
        objects = [FoundObject.from_json(one) for one in cast("list[JsonObject]", context["objects"])]
        return cls(objects, frozenset(cast("list[str]", context["known"])), cast("JsonObject", context["looked"]))

    def tensor(self) -> Tensors:
        """The `context`."""
        objects = [one.description() for one in self.objects]
        return {"context": json_tensor({"objects": objects, "known": sorted(self.known), "looked": self.looked})}


def detect_find(detectors: Mapping[str, ObjectDetector], networks: Networks) -> Step:
    """The step for detectors by role.

    `image`, `parameters` BYTES [1] → `context` BYTES [1] JSON, and, if the photo was searched, `photo` uint8 H×W×3 RGB
    in its own colours.
    """

    @carrying_failures(lambda _: {})
    def step(tensors: Tensors) -> Tensors:
        search = Search.from_json(json_object(tensors["parameters"]))
        encoded = EncodedPhoto.read(tensors["image"])
        every = {label for detector in detectors.values() for label in detector.labels}
        wanted = every if search.names is None else labels_of(search.names, every)
        asked = {role: detector for role, detector in detectors.items() if wanted.intersection(detector.labels)}
        if not asked:
            return Findings([], frozenset(), {"tiles": 0}).tensor()
        photo = encoded.own()
        directions = _Directions(search, encoded.srgb(photo).pixels)
        found = {role: directions.look(role, _looker(detector, networks)) for role, detector in asked.items()}
        objects = [one for role in found for one in _objects(search.thresholds.passing(found[role]))]
        known = frozenset(label for detector in asked.values() for label in detector.labels)
        return {**Findings(objects, known, directions.looked(asked)).tensor(), "photo": photo.pixels}

    return step


class _Directions:
    """The directions in which a photo is searched: those in which its faces turn out to be upright."""

    def __init__(self, search: Search, pixels: RGB) -> None:
        self._search = search
        self._views = [View(pixels, quarters) for quarters in QUARTERS]
        self._chosen = list(QUARTERS) if search.rotations == "all" else [0]
        self._tiles = 0

    def look(self, role: str, looker: Looker) -> Detections:
        """What a detector finds in all directions, each object once. Faces come first: they choose the directions."""
        found = [self._look(role, looker, quarters) for quarters in self._chosen]
        if role == FACES and self._search.rotations == "auto" and found[0].scores.max(initial=0.0) < SURE:
            turned = [quarters for quarters in QUARTERS[1:] if self._may_lie(looker, quarters)]
            found += [self._look(role, looker, quarters) for quarters in turned]
            self._chosen += [quarters for quarters, one in zip(turned, found[1:], strict=True) if len(one)]
        return Detections.joined(found).distinct(looker.detector.iou)

    def looked(self, roles: Collection[str]) -> JsonObject:
        """How closely the photo was searched, for people: what was promised, and what it took."""
        faces: JsonObject = {"smallest_face": self._search.smallest_face} if FACES in roles else {}
        others: JsonObject = {"smallest_object": self._search.smallest_object} if set(roles) - {FACES} else {}
        degrees = [quarters * DEGREES for quarters in self._chosen]
        return {**faces, **others, "rotations": degrees, "tiles": self._tiles}

    def _look(self, role: str, looker: Looker, quarters: int) -> Detections:
        smallest = self._search.smallest_face if role == FACES else self._search.smallest_object
        least = min(self._search.thresholds.of(label) for label in looker.detector.labels)
        looked = looker.look(self._views[quarters], smallest, least)
        self._tiles += looked.tiles
        return looked.found

    def _may_lie(self, looker: Looker, quarters: int) -> bool:
        """Whether a quick look shows a face. In a large photo it shows too little to tell."""
        self._tiles += 1
        view = self._views[quarters]
        return looker.shrinks(view, self._search.smallest_face) or looker.glance(view) >= PERHAPS


def _looker(detector: ObjectDetector, networks: Networks) -> Looker:
    return Looker(
        detector, networks(detector.model), None if detector.scout is None else networks(detector.scout.model)
    )


def _objects(found: Detections) -> Iterator[FoundObject]:
    for index, (label, score) in enumerate(zip(found.labels, found.scores.tolist(), strict=True)):
        x1, y1, x2, y2 = found.boxes[index].tolist()
        corners = None if found.corners is None else tuple((x, y) for x, y in found.corners[index].tolist())
        yield FoundObject(label, score, (x1, y1, x2, y2), found.model, corners)


def detect_list(tensors: Tensors) -> Tensors:
    """List what the first step found.

    `image`, `parameters`, `context` BYTES [1] → `result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [1].
    """
    try:
        classes = cast("list[str]", json_object(tensors["parameters"]).get("classes", []))
        result = _result(Findings.of(tensors), EncodedPhoto.read(tensors["image"]).info.size, classes)
    except InputError as failure:
        return refused(failure.code, failure.detail)
    return completed(result, {"detections.json": json.dumps(result, separators=(",", ":")).encode()})


def _result(findings: Findings, size: Size, classes: list[str]) -> JsonObject:
    labels = labels_of(classes, findings.known) or findings.known
    described = [one.description() for one in findings.objects if one.label in labels]
    return {
        "photo": {"width": size[0], "height": size[1]},
        "looked": findings.looked,
        "detections": [{"index": index, **description} for index, description in enumerate(described)],
    }
