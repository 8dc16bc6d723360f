import cv2
import numpy as np
import pytest

from vision.photo import Photo
from vision.plates import LABEL, PlateFinder

SIZE = (640, 480)
NONE = np.empty((0, 4), np.float32)


@pytest.fixture(scope="module")
def finder() -> PlateFinder:
    return PlateFinder()


def street(x: int, y: int, width: int) -> Photo:
    """A dark scene with a bright plate and dark signs on it."""
    pixels = np.full((480, 640, 3), 70, np.uint8)
    height = width * 110 // 520
    cv2.rectangle(pixels, (x, y), (x + width, y + height), (235, 235, 235), -1)
    cv2.rectangle(pixels, (x, y), (x + width, y + height), (20, 20, 20), max(width // 60, 1))
    scale = width / 200
    place = (x + width // 12, y + height * 4 // 5)
    cv2.putText(pixels, "A123BC77", place, cv2.FONT_HERSHEY_SIMPLEX, scale, (10, 10, 10), max(round(scale * 3), 1))
    return Photo(cv2.GaussianBlur(pixels, (3, 3), 0), np.eye(2, 3))


def covered(found: np.ndarray, box: tuple[float, ...]) -> float:
    """The share of a box that the best of `found` covers."""
    inside = np.clip(np.minimum(found[:, 2:], box[2:]) - np.maximum(found[:, :2], box[:2]), 0, None).prod(axis=1)
    return float(inside.max(initial=0) / ((box[2] - box[0]) * (box[3] - box[1])))


def test_a_large_plate_is_found_in_the_whole_photo(finder: PlateFinder) -> None:
    found = finder.find(street(200, 200, 150), SIZE, NONE)
    assert set(found.labels) == {LABEL}
    assert covered(found.boxes, (200, 200, 350, 232)) > 0.7


def test_a_small_plate_is_found_in_its_vehicle_only(finder: PlateFinder) -> None:
    photo, plate = street(300, 300, 40), (300, 300, 340, 308)
    vehicle = np.array([(240, 220, 400, 340)], np.float32)
    assert covered(finder.find(photo, SIZE, NONE).boxes, plate) == 0
    assert covered(finder.find(photo, SIZE, vehicle).boxes, plate) > 0.7


def test_a_photo_decoded_smaller_gives_boxes_in_source_pixels(finder: PlateFinder) -> None:
    photo = street(200, 200, 150)
    halved = Photo(photo.pixels, np.eye(2, 3) / 2)
    found = finder.find(halved, (1280, 960), NONE)
    assert covered(found.boxes, (400, 400, 700, 464)) > 0.7


def test_no_plate_and_vehicles_beyond_the_border(finder: PlateFinder) -> None:
    empty = Photo(np.full((480, 640, 3), 70, np.uint8), np.eye(2, 3))
    vehicles = np.array([(-50, -50, 700, 600), (630, 470, 639, 479)], np.float32)
    assert len(finder.find(empty, SIZE, vehicles)) == 0


def test_a_photo_too_small_for_a_plate_shows_none(finder: PlateFinder) -> None:
    tiny = Photo(np.full((16, 16, 3), 70, np.uint8), np.eye(2, 3))
    assert len(finder.find(tiny, (16, 16), NONE)) == 0


class Watched:
    """A cascade that keeps the sizes of what it is shown."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def detectMultiScale2(  # noqa: N802 - OpenCV's name
        self, crop: np.ndarray, _scale: float, _windows: int, **_limits: object
    ) -> tuple[tuple[()], tuple[()]]:
        height, width = crop.shape
        self.sizes.append((width, height))
        return (), ()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    cascade = Watched()
    monkeypatch.setattr(cv2, "CascadeClassifier", lambda _: cascade)
    return cascade


@pytest.mark.parametrize("size", [(40, 8000), (480, 640), (8000, 40)])
def test_no_shape_of_photo_is_searched_at_more_than_a_square(watched: Watched, size: tuple[int, int]) -> None:
    PlateFinder().find(Photo(np.zeros((size[1], size[0], 3), np.uint8), np.eye(2, 3)), size, NONE)
    ((width, height),) = watched.sizes
    assert width <= 640
    assert width * height <= 640 * 641


def test_of_many_vehicles_the_largest_are_searched(watched: Watched) -> None:
    vehicles = np.array([(0, 0, 100 + wide, 100) for wide in range(50)], np.float32)
    PlateFinder().find(Photo(np.zeros((480, 640, 3), np.uint8), np.eye(2, 3)), SIZE, vehicles)
    ratios = [round(100 * width / height) for width, height in watched.sizes[1:]]
    assert ratios == pytest.approx([149, 148, 147, 146, 145, 144, 143, 142], abs=1)
