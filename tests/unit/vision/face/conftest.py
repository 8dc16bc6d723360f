"""The real case, where this machine has it."""

from dataclasses import dataclass
from pathlib import Path

import pytest

REAL_CASE = Path("/work/shared/data/facial")


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
