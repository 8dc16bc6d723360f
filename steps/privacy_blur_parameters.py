"""The parameters of the `privacy_blur` pipeline, as the gateway has checked them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypedDict, cast

from steps.detect_classes import FACE, PLATE
from steps.detect_find import FoundObject, Thresholds
from steps.tensors import JsonObject
from vision.arrays import Box
from vision.hiding.options import Color, Hiding, Shape, Style
from vision.photo_info import WrittenFormat
from vision.rewrite import Form, Kind

HEAD = Hiding(shape=Shape.BOX, grow=0.35, narrowest=0.75, feather=0.05)
"""Of a face, hair and ears as well, and as tight as detectors allow that look for it afterwards.

Three quarters: a head is about as deep as it is high, and so is what must be hidden of a face in profile, whose box is
half as wide as high. The box grows alike on all sides: the photo may lie on its side or upside down. It is no ellipse:
CenterFace and BlazeFace take an oval on shoulders for a face, whatever its colour; see `tests.parity.privacy`.
"""
SHAPES: Mapping[str, Hiding] = {FACE: HEAD, PLATE: Hiding(shape=Shape.QUADRILATERAL, grow=0.3, feather=0.05)}
"""How a class is hidden where the request does not say."""
GIVEN = "given"
"""In place of a model's name, of an object that the request names."""
ANY_SHAPE = Hiding(shape=Shape.BOX, grow=0.05, feather=0.05)


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
    """What one request asks for; `hide` holds labels and groups, `keep` boxes that stay untouched.

    `objects` are to be hidden whatever a detector finds.
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
        """Read the pipeline's JSON; unknown keys are left alone. Raises ValueError for an unknown style or shape."""
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

    def hiding(self, label: str) -> Hiding:
        """How objects of a class are hidden."""
        default = SHAPES.get(label, ANY_SHAPE)
        return replace(default, style=self.style, strength=self.strength, **self.choice)


def _given(value: _Given) -> FoundObject:
    x1, y1, x2, y2 = value["box"]
    return FoundObject(value["label"], 1.0, (x1, y1, x2, y2), GIVEN)


def _choice(value: JsonObject) -> _Choice:
    """What the request says of the shape; `null` leaves it to the class."""
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
