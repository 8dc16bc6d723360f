"""The real case, where this machine has it."""

from dataclasses import dataclass

import pytest

from tests.parity.environment import SHARED

REAL_CASE = SHARED / "facial"


@dataclass(frozen=True)
class RealCase:
    """What a caller of the contour services sent: a head tilted by about 20°, and a label map of another size."""

    image: bytes
    landmarks: bytes
    segmentation: bytes


@pytest.fixture(scope="session")
def real_case() -> RealCase:
    if not REAL_CASE.exists():
        pytest.skip("the real case is not on this machine")
    names = ("original_image.png", "landmarks.txt", "segmentation_map.png")
    return RealCase(*((REAL_CASE / name).read_bytes() for name in names))
