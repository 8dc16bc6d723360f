"""Last step of `privacy_blur`: its parameters, the redacted objects, and the photo written back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict, cast

from steps.detect import FACE, PLATE, Findings, FoundObject, Thresholds, labels_of
from steps.photo import EncodedPhoto
from steps.tensors import InputError, JsonObject, Tensors, completed, json_object, refused
from vision.arrays import Box, Size
from vision.encoding import Form, Kind
from vision.nms import area
from vision.photo import PhotoError
from vision.photo_info import WrittenFormat
from vision.redaction.redact import redact
from vision.redaction.region import Region
from vision.redaction.styles import Color, Redaction, Shape, Style, Target

HEAD = Redaction(shape=Shape.BOX, grow=0.35, narrowest=0.75, feather=0.05)
"""The region of a face. It includes hair and ears, and is as tight as detectors that search the copy allow.

Three quarters: a head is about as deep as it is high, and all of that must be hidden of a face in profile, whose box is
half as wide as high. The box grows alike on all sides, because the photo may lie on its side or upside down. It is not
an ellipse: CenterFace and BlazeFace take an oval on shoulders for a face, whatever its colour; see
`tests.parity.privacy`.
"""
SHAPES: Mapping[str, Redaction] = {FACE: HEAD, PLATE: Redaction(shape=Shape.QUADRILATERAL, grow=0.3, feather=0.05)}
"""How a class is hidden if the request does not say."""
GIVEN = "given"
"""Used in place of a model's name for an object that the request gives."""
ANY_SHAPE = Redaction(shape=Shape.BOX, grow=0.05, feather=0.05)


class _Given(TypedDict):
    label: str
    box: Box


class _Choice(TypedDict, total=False):
    shape: Shape
    grow: float
    feather: float
    color: Color


@dataclass(frozen=True)
class PrivacyBlurParameters:
    """What one request asks for. `hide` holds labels and groups, `keep` boxes that are not changed.

    `objects` are hidden whatever a detector finds.
    """

    hide: tuple[str, ...] = ("faces", "plates")
    style: Style = Style.GAUSSIAN
    strength: float = 1.0
    choice: _Choice = field(default_factory=_Choice)
    keep: tuple[Box, ...] = ()
    objects: tuple[FoundObject, ...] = ()
    thresholds: Thresholds = field(default_factory=Thresholds)
    form: Form = field(default_factory=Form)
    include: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: JsonObject) -> "PrivacyBlurParameters":
        """Read the pipeline's JSON. Unknown keys are ignored. Raises ValueError for an unknown style or shape."""
        return cls(
            hide=tuple(cast("list[str]", value.get("hide", cls.hide))),
            style=Style(cast("str", value.get("style", cls.style.value))),
            strength=cast("float", value.get("strength", cls.strength)),
            choice=_choice(value),
            keep=tuple((x1, y1, x2, y2) for x1, y1, x2, y2 in cast("list[Box]", value.get("keep", []))),
            objects=tuple(map(_given, cast("list[_Given]", value.get("objects", [])))),
            thresholds=Thresholds.from_json(cast("JsonObject", value.get("thresholds", {}))),
            form=_form(value),
            include=tuple(cast("list[str]", value.get("include", []))),
        )

    def redaction(self, label: str) -> Redaction:
        """How objects of a class are hidden."""
        default = SHAPES.get(label, ANY_SHAPE)
        return replace(default, style=self.style, strength=self.strength, **self.choice)


def _given(value: _Given) -> FoundObject:
    x1, y1, x2, y2 = value["box"]
    return FoundObject(value["label"], 1.0, (x1, y1, x2, y2), GIVEN)


def _choice(value: JsonObject) -> _Choice:
    """The request's shape. `null` leaves the choice to the class."""
    choice: _Choice = {}
    if value.get("shape") is not None:
        choice["shape"] = Shape(cast("str", value["shape"]))
    if value.get("grow") is not None:
        choice["grow"] = cast("float", value["grow"])
    if value.get("feather") is not None:
        choice["feather"] = cast("float", value["feather"])
    if value.get("color") is not None:
        choice["color"] = _color(cast("str", value["color"]))
    return choice


def _color(text: str) -> Color:
    """From #RRGGBB."""
    red, green, blue = bytes.fromhex(text.removeprefix("#"))
    return red, green, blue


def _form(value: JsonObject) -> Form:
    default = Form()
    return Form(
        file_format=cast("WrittenFormat | None", value.get("format")),
        quality=cast("int | None", value.get("quality")),
        metadata=frozenset(cast("list[Kind]", value.get("metadata", default.metadata))),
    )


SUFFIXES = {"jpeg": "jpg", "png": "png", "webp": "webp"}
KEPT_SHARE = 0.5
"""An object is kept if a `keep` box covers this share of it. Callers draw their boxes by hand."""


@dataclass(frozen=True)
class Treated:
    """An object, and the area of the photo hidden for it; None if it was not hidden."""

    found: FoundObject
    target: Target | None
    kept: bool

    def description(self, index: int, size: Size) -> JsonObject:
        """The object in the result: what was done to it, and to which pixels."""
        described = {"index": index, **self.found.description()}
        if self.target is None:
            return {**described, "action": "kept" if self.kept else "none"}
        region = Region.about(self.target)
        window = region.window(size)
        return {
            **described,
            "action": "hidden",
            "style": self.target.redaction.style.value,
            "shape": region.shape.value,
            "region": [window.x1, window.y1, window.x2, window.y2],
        }


def privacy_blur_draw(tensors: Tensors) -> Tensors:
    """Hide what the first step found.

    `image`, `parameters`, `context` BYTES [1], and `photo` uint8 H×W×3 if the first step is in the same process; it is
    painted on → `result` BYTES [1] JSON, `artifact_names` and `artifacts` BYTES [K].
    """
    try:
        parameters = PrivacyBlurParameters.from_json(json_object(tensors["parameters"]))
        findings = Findings.of(tensors)
        encoded = EncodedPhoto.read(tensors["image"])
        pixels = encoded.own(tensors.get("photo")).pixels
        treated = _treated(findings, parameters)
        redact(pixels, [one.target for one in treated if one.target], parameters.keep)
        written = encoded.rewritten(pixels, parameters.form)
    except (InputError, PhotoError) as failure:
        return refused(failure.code, failure.detail)
    result = _result(encoded, findings, treated, parameters)
    return completed(result, dict(_artifacts(encoded, written, result, parameters)))


def _treated(findings: Findings, parameters: PrivacyBlurParameters) -> list[Treated]:
    labels = labels_of(parameters.hide, findings.known)
    wanted = [one.label in labels for one in findings.objects] + [True] * len(parameters.objects)
    both = zip((*findings.objects, *parameters.objects), wanted, strict=True)
    return [_treatment(one, parameters, wanted=hides) for one, hides in both]


def _treatment(found: FoundObject, parameters: PrivacyBlurParameters, *, wanted: bool) -> Treated:
    kept = any(_covers(box, found.box) for box in parameters.keep)
    target = Target(found.box, parameters.redaction(found.label), found.corners) if wanted and not kept else None
    return Treated(found, target, kept)


def _covers(box: Box, found: Box) -> bool:
    """Whether a box covers KEPT_SHARE of a detected object."""
    common = (max(box[0], found[0]), max(box[1], found[1]), min(box[2], found[2]), min(box[3], found[3]))
    meets = common[0] < common[2] and common[1] < common[3]
    return meets and area(common) >= KEPT_SHARE * area(found)


def _result(
    encoded: EncodedPhoto, findings: Findings, treated: Sequence[Treated], parameters: PrivacyBlurParameters
) -> JsonObject:
    size = encoded.info.size
    return {
        "photo": {"width": size[0], "height": size[1]},
        "looked": findings.looked,
        "detections": [one.description(index, size) for index, one in enumerate(treated)],
        "blur": {
            "hide": parameters.hide,
            "style": parameters.style.value,
            "strength": parameters.strength,
            "hidden": sum(one.target is not None for one in treated),
            "kept": sum(one.kept for one in treated),
            "keep": parameters.keep,
            "format": parameters.form.format_for(encoded.info),
            "metadata": sorted(parameters.form.metadata),
        },
    }


def _artifacts(
    encoded: EncodedPhoto, written: bytes, result: JsonObject, parameters: PrivacyBlurParameters
) -> Iterator[tuple[str, bytes]]:
    yield f"blurred.{SUFFIXES[parameters.form.format_for(encoded.info)]}", written
    for name in parameters.include:
        document = {"photo": result["photo"], "looked": result["looked"], name: result[name]}
        yield f"{name}.json", json.dumps(document, separators=(",", ":")).encode()
