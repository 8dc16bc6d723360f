"""The steps that find faces, with tensors in place of the models."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from steps.face_contours import MOST_CROPS, face_crop, face_input, found_faces
from steps.photo import regions_context, regions_of
from steps.tensors import InputError, Tensor, Tensors, bytes_tensor, json_object, json_tensor
from vision.ssd import FULL_ANCHORS, Roi

Box = tuple[float, float, float]
"""Centre x, centre y, side."""

SIDE = 768


def photo(side: int = SIDE) -> Tensor:
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[: side // 2] = 0, 0, 255
    return bytes_tensor([cv2.imencode(".png", pixels)[1].tobytes()])


def detected(count: int, side: int, boxes: Sequence[Box]) -> tuple[Tensor, Tensor]:
    """Raw tensors of a detector that sees level faces, the surest first, in a photo of SIDE pixels."""
    rows, scores = np.zeros((1, count, 16), np.float32), np.full((1, count, 1), -50, np.float32)
    scale = side / SIDE
    for index, (x, y, length) in enumerate(boxes):
        anchor = FULL_ANCHORS[index] * side if count == len(FULL_ANCHORS) else np.full(2, 0.5 / 16 * side)
        origin = np.array([x, y]) * scale - anchor
        rows[0, index, :4] = *origin, length * scale, length * scale
        rows[0, index, 4:] = np.tile(origin, 6)
        rows[0, index, 6] += 1
        scores[0, index] = 9 - index / 10
    return rows, scores


def crop_request(near: Sequence[Box] = (), far: Sequence[Box] = ()) -> Tensors:
    short_boxes, short_scores = detected(896, 128, near)
    full_boxes, full_scores = detected(2304, 192, far)
    return {
        "image": photo(),
        "context": json_tensor({}),
        "short_boxes": short_boxes,
        "short_scores": short_scores,
        "full_boxes": full_boxes,
        "full_scores": full_scores,
    }


def regions(tensors: Tensors) -> list[Roi]:
    return regions_of(json_object(tensors["context"]))


def test_the_photo_is_drawn_for_both_detectors() -> None:
    drawn = face_input({"image": photo()})
    assert (drawn["short"].shape, drawn["full"].shape) == ((1, 128, 128, 3), (1, 192, 192, 3))
    for name in ("short", "full"):
        half = drawn[name].shape[1] // 2
        assert drawn[name][0, : half - 1].reshape(-1, 3).tolist() == [[255, 0, 0]] * ((half - 1) * half * 2)
        assert not np.asarray(drawn[name], np.uint8)[0, half + 1 :].any()


@pytest.mark.parametrize("data", [b"", b"not a photo"])
def test_a_broken_photo_is_handed_on_beside_blank_pixels(data: bytes) -> None:
    drawn = face_input({"image": bytes_tensor([data])})
    assert "failure" in json_object(drawn["context"])
    assert (drawn["short"].shape, drawn["full"].shape) == ((1, 128, 128, 3), (1, 192, 192, 3))
    cut = face_crop({**crop_request(near=[(300, 300, 100)]), "context": drawn["context"]})
    assert cut["context"] is drawn["context"]
    assert cut["crops"].shape == (1, 192, 192, 3)


def test_regions_of_the_short_range_come_first_even_if_both_detectors_find_the_face() -> None:
    cut = face_crop(crop_request(near=[(300, 300, 100)], far=[(600, 600, 200), (302, 300, 104)]))
    assert cut["crops"].shape == (3, 192, 192, 3)
    assert [round(region.side) for region in regions(cut)] == [150, 300, 156]
    np.testing.assert_allclose(regions(cut)[0].center, (300, 300), atol=1e-3)


def test_only_the_largest_of_too_many_faces_are_cut_out() -> None:
    grid = [(100.0 * column + 50, 100.0 * row + 50) for row in range(5) for column in range(4)]
    faces = [(x, y, 40.0 + index) for index, (x, y) in enumerate(grid)]
    cut = face_crop(crop_request(far=faces))
    assert len(cut["crops"]) == MOST_CROPS
    expected = [1.5 * length for _, _, length in faces[len(faces) - MOST_CROPS :]]
    np.testing.assert_allclose([region.side for region in regions(cut)], expected, atol=1e-3)


def test_a_photo_without_a_face_fails_with_no_face() -> None:
    cut = face_crop(crop_request())
    assert json_object(cut["context"])["failure"]["code"] == "no_face"
    assert cut["crops"].shape == (1, 192, 192, 3)


def recognised(rois: Sequence[Roi], presence: Sequence[float]) -> Tensors:
    ticks = np.linspace(48, 144, 468, dtype=np.float32)
    landmarks = np.tile(np.stack((ticks, ticks[::-1], np.zeros_like(ticks)), axis=1).ravel(), (len(rois), 1))
    return {
        "context": json_tensor(regions_context(rois)),
        "landmarks": landmarks,
        "presence": np.array(presence, np.float32)[:, None],
    }


NEAR, AGAIN, OTHER = Roi((300.0, 300.0), 192.0, 0.0), Roi((310.0, 300.0), 192.0, 0.0), Roi((600.0, 600.0), 384.0, 0.0)


def test_a_face_found_twice_comes_from_the_first_region_and_the_largest_is_first() -> None:
    faces = found_faces(recognised([NEAR, OTHER, AGAIN], [1.0, 5.0, 9.0]))
    assert [face.box for face in faces] == [(504, 504, 696, 696), (252, 252, 348, 348)]


def test_a_face_that_only_the_second_region_shows_comes_from_there() -> None:
    (face,) = found_faces(recognised([NEAR, AGAIN], [-1.0, 2.0]))
    assert face.box == (262, 252, 358, 348)


def test_regions_that_show_no_face_fail_the_request() -> None:
    with pytest.raises(InputError) as failure:
        found_faces(recognised([NEAR, OTHER], [-3.0, -0.1]))
    assert failure.value.code == "no_face"


def test_an_earlier_failure_is_raised() -> None:
    context = json_tensor({"failure": {"code": "image_corrupt", "detail": "x"}})
    with pytest.raises(InputError, match="image_corrupt: x"):
        found_faces({**recognised([NEAR], [9.0]), "context": context})
