"""What the landmarks of a scheme outline: rings of indices, named as the viewer sees the face."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from vision.arrays import Float64

Ring: TypeAlias = tuple[int, ...]

REGION_NUMBERS: Mapping[str, int] = {
    "forehead": 1,
    "nose": 2,
    "left_under_eye": 3,
    "right_under_eye": 4,
    "mouth": 5,
    "left_eye": 6,
    "right_eye": 7,
    "left_eyebrow": 8,
    "right_eyebrow": 9,
    "upper_lip": 10,
    "lower_lip": 11,
    "face_oval": 12,
    "left_cheek": 13,
    "right_cheek": 14,
}
"""Left and right are the viewer's: the left eye is the subject's right one."""
DEFAULT_REGIONS = ("forehead", "nose", "left_under_eye", "right_under_eye", "mouth")
FOREHEAD = "forehead"


@dataclass(frozen=True, slots=True)
class Topology:
    """The outlines of one landmark scheme, as indices into what `extend` makes of a levelled face's landmarks.

    `rings` holds every region of REGION_NUMBERS but the forehead, which runs along `brows` from the viewer's right to
    the left and back along `arc`. `rise` is how far the middle of the arc lies below the hairline, in heights of the
    face from arc to chin.
    """

    eyes: tuple[Ring, Ring]
    rings: Mapping[str, Ring]
    arc: Ring
    brows: Ring
    chin: int
    rise: float
    extend: Callable[[Float64], Float64]


def indices(numbers: str) -> Ring:
    """Indices written as words."""
    return tuple(map(int, numbers.split()))


def joined(*rings: Sequence[int]) -> Ring:
    """One ring of several stretches."""
    return tuple(index for ring in rings for index in ring)
