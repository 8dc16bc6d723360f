"""A caller's segmentation: a label map with its scheme, or region names with landmarks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias, cast

from vision.arrays import LabelMap
from vision.face.label_map import read_label_map
from vision.face.landmarks import COUNTS, parse_literal
from vision.face.options import FaceError
from vision.face.topology import Ring

Rings: TypeAlias = Mapping[str, Ring]
Segmentation: TypeAlias = "LabelMap | Rings | None"

MAX_REGIONS = 64
MAX_NAME = 64
MIN_CORNERS, MAX_CORNERS = 3, 512
MAX_CORNERS_IN_ALL = 4096
HIGHEST = max(COUNTS) - 1


def parse_segmentation(data: bytes) -> Segmentation:
    """Read a PNG of labels or {region name: [landmark indices in order round the region]}. None for no bytes.

    Raises FaceError (segmentation_unsupported, label_map_*, regions_invalid).
    """
    text = data.strip()
    if not text or text == b"null":
        return None
    return _rings(text) if text.startswith(b"{") else read_label_map(data)


def _rings(text: bytes) -> Rings | None:
    try:
        value = parse_literal(text.decode())
    except ValueError as error:
        raise FaceError("regions_invalid", f"the regions are not JSON: {str(error)[:200]}") from None
    regions = cast("dict[str, object]", value)
    if len(regions) > MAX_REGIONS:
        raise FaceError("regions_invalid", f"there are {len(regions)} regions; at most {MAX_REGIONS} are accepted")
    rings = {_name(name): _ring(name, indices) for name, indices in regions.items()}
    corners = sum(map(len, rings.values()))
    if corners > MAX_CORNERS_IN_ALL:
        raise FaceError(
            "regions_invalid", f"the regions have {corners} indices; at most {MAX_CORNERS_IN_ALL} are accepted in all"
        )
    return rings or None


def _name(name: str) -> str:
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise FaceError("regions_invalid", f"a region's name needs 1 to {MAX_NAME} printable characters")
    return name


def _ring(name: str, value: object) -> Ring:
    if not isinstance(value, list) or not MIN_CORNERS <= len(value) <= MAX_CORNERS:
        raise FaceError(
            "regions_invalid", f"region {name!r} is not a list of {MIN_CORNERS} to {MAX_CORNERS} landmark indices"
        )
    if any(isinstance(index, bool) or not isinstance(index, int) or not 0 <= index <= HIGHEST for index in value):
        raise FaceError(
            "regions_invalid", f"region {name!r} has an index that is not a whole number from 0 to {HIGHEST}"
        )
    return tuple(value)


BACKGROUND, SKIN, HAIR = 0, 1, "hair"


@dataclass(frozen=True, slots=True)
class LabelScheme:
    """Names by label, and the labels of the face: skin and what lies on it."""

    names: tuple[str, ...]
    face: frozenset[int]

    def name(self, label: int) -> str:
        """The label's name, or `label_{n}` where the scheme has none."""
        return self.names[label] if label < len(self.names) else f"label_{label}"

    def below_hair(self, labels: Collection[int]) -> frozenset[int]:
        """Labels that a ray from brows to hairline may cross: the face, or all but hair if only hair is labelled."""
        hair = {label for label in labels if self.name(label) == HAIR}
        return self.face if SKIN in labels or not hair else frozenset(range(256)) - hair


CONTOURS = LabelScheme(
    (
        "background", "skin", "left_eyebrow", "right_eyebrow", "left_eye", "right_eye", "nose", "upper_lip",
        "inner_mouth", "lower_lip", "hair",
    ),
    frozenset(range(1, 10)),
)  # fmt: skip
"""The eleven labels of the contour services, left and right as the viewer sees them."""

CELEBAMASK_HQ = LabelScheme(
    (
        "background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_glasses", "l_ear", "r_ear", "earring", "nose",
        "mouth", "u_lip", "l_lip", "neck", "necklace", "cloth", "hair", "hat",
    ),
    frozenset({1, 2, 3, 4, 5, 6, 10, 11, 12, 13}),
)  # fmt: skip
"""The 19 labels of CelebAMask-HQ, named as that data set names them."""

UNKNOWN = LabelScheme(("background",), frozenset())


def scheme_of(labels: Collection[int]) -> LabelScheme:
    """Guess the scheme from the highest label: up to 10, up to 18, or unknown."""
    highest = max(labels, default=0)
    return next((scheme for scheme in (CONTOURS, CELEBAMASK_HQ) if highest < len(scheme.names)), UNKNOWN)
