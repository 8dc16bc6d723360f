"""What was hidden is not found again."""

from pathlib import Path

import pytest

from exporters.catalogue import DEFAULT_PATHS
from tests.parity.environment import SAMPLES, SHARED
from tests.parity.privacy import Privacy

PHOTOS = [*SAMPLES, *sorted((SHARED / "photos").glob("*.jpg"))]
EMPTY = {"000000006723"}
"""The one without a face."""
pytestmark = pytest.mark.skipif(not DEFAULT_PATHS.model("centerface").exists(), reason="CenterFace is not exported")


@pytest.fixture(scope="module")
def privacy() -> Privacy:
    return Privacy()


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.stem)
def test_no_detector_finds_a_face_where_one_was_hidden(privacy: Privacy, photo: Path) -> None:
    if not photo.exists():
        pytest.skip(f"{photo.name} is not fetched")
    checked = privacy.of(photo)
    assert bool(checked.hidden) == (photo.stem not in EMPTY)
    assert checked.passes
