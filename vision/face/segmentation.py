"""The two forms of a segmentation: a label map, or a mapping from region names to landmarks."""

from collections.abc import Mapping
from typing import TypeAlias, cast

from vision.arrays import LabelMap
from vision.face.errors import FaceError
from vision.face.label_map import read_label_map
from vision.face.landmarks import COUNTS
from vision.face.literal import parse_literal
from vision.face.topology import Ring

Rings: TypeAlias = Mapping[str, Ring]
Segmentation: TypeAlias = "LabelMap | Rings | None"

MAX_REGIONS = 64
MAX_NAME = 64
MIN_CORNERS, MAX_CORNERS = 3, 512
MAX_CORNERS_IN_ALL = 4096
HIGHEST = max(COUNTS) - 1


def parse_segmentation(data: bytes) -> Segmentation:
    """Read a PNG of labels or {region name: [landmark indices in order round the region]}; None of no bytes.

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
