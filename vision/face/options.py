"""What a request for contours may choose."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vision.face.errors import FaceError

MAX_STROKE = 100.0
_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")


class ContourFrame(StrEnum):
    """Where contours and the SVG lie: the levelled crop, or the photo as displayed."""

    CROP = "crop"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class ContourOptions:
    """What is made and how it is drawn; the defaults are those of a request that names nothing.

    `regions` are names of landmark regions; of none come the label map's regions, the caller's rings, or the default
    ones. `colors` are #RRGGBB by region name. Widths are in pixels. Raises FaceError (options_invalid).
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
