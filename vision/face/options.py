"""Options of a contours request, the colours of regions, and the errors of face inputs."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, TypeAlias

SKIN, NOSE = "#B695C0", "#D4A574"
BROW, EYE, EYEWEAR, LIPS, INNER_MOUTH = "#7D5A4F", "#6FA3D8", "#4F6D8C", "#D97B8E", "#8C3A4A"
HAIR, EAR, NECK, CLOTH, JEWELLERY = "#8C7B6B", "#E0B7A0", "#C9A9C2", "#9DB5A0", "#E3C567"

COLORS: Mapping[str, str] = {
    "forehead": SKIN,
    "nose": NOSE,
    "left_under_eye": SKIN,
    "right_under_eye": SKIN,
    "mouth": SKIN,
    "left_eye": EYE,
    "right_eye": EYE,
    "left_eyebrow": BROW,
    "right_eyebrow": BROW,
    "upper_lip": LIPS,
    "lower_lip": LIPS,
    "face_oval": SKIN,
    "left_cheek": LIPS,
    "right_cheek": LIPS,
    "skin": SKIN,
    "inner_mouth": INNER_MOUTH,
    "hair": HAIR,
    "l_brow": BROW,
    "r_brow": BROW,
    "l_eye": EYE,
    "r_eye": EYE,
    "eye_glasses": EYEWEAR,
    "l_ear": EAR,
    "r_ear": EAR,
    "earring": JEWELLERY,
    "u_lip": LIPS,
    "l_lip": LIPS,
    "neck": NECK,
    "necklace": JEWELLERY,
    "cloth": CLOTH,
    "hat": CLOTH,
}
"""Colours of the known names. CelebAMask-HQ's `mouth`, the inside of a mouth, shares that of the lower face."""

OTHERS = (SKIN, NOSE, EYE, LIPS, CLOTH, JEWELLERY, BROW, EYEWEAR)
"""Colours of other names, assigned in turn by number."""


def color_of(number: int, name: str, colors: Mapping[str, str]) -> str:
    """Choose a region's colour: the caller's, else that of its name, else one by its number."""
    return colors.get(name) or COLORS.get(name) or OTHERS[(number - 1) % len(OTHERS)]


FaceErrorCode: TypeAlias = Literal[
    "landmarks_unreadable",
    "landmarks_count",
    "landmarks_outside",
    "landmarks_degenerate",
    "segmentation_unsupported",
    "label_map_lossy",
    "label_map_unreadable",
    "label_map_corrupt",
    "label_map_empty",
    "regions_invalid",
    "region_unknown",
    "options_invalid",
]


class FaceError(ValueError):
    """An input that is refused. `code` is stable, `detail` says what is wrong and what would be right."""

    def __init__(self, code: FaceErrorCode, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


MAX_STROKE = 100.0
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")


class ContourFrame(StrEnum):
    """Where contours and the SVG lie: the levelled crop, or the photo as displayed."""

    CROP = "crop"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class ContourOptions:
    """What is made and how it is drawn. The defaults are those of a request that sets nothing.

    `regions` are names of landmark regions. If empty, the label map's regions, the caller's rings, or the default ones
    are made. `colors` are #RRGGBB by region name. Widths are in pixels. Raises FaceError (options_invalid).
    """

    regions: tuple[str, ...] = ()
    frame: ContourFrame = ContourFrame.CROP
    show_labels: bool = False
    show_landmarks: bool = False
    region_opacity: float = 0.65
    stroke_width: float = 0.0
    colors: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.region_opacity <= 1:
            raise FaceError("options_invalid", f"region_opacity is {self.region_opacity}; it goes from 0 to 1")
        if not (math.isfinite(self.stroke_width) and 0 <= self.stroke_width <= MAX_STROKE):
            raise FaceError("options_invalid", f"stroke_width is {self.stroke_width}; it goes from 0 to {MAX_STROKE}")
        for name, color in self.colors.items():
            if not _COLOR.fullmatch(color):
                raise FaceError("options_invalid", f"the color of {name[:60]!r} is not of the form #RRGGBB")
