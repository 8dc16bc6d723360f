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
