"""A drawn body in a photo of 9 megapixels, and the model's mask of it as coarse as the model's are."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from vision.body.label_map import atr_label_map, fine_label_map
from vision.body.pose import Pose
from vision.body.silhouette import (
    FINE_SIZE,
    WORK_SIZE,
    Canvas,
    carried,
    fine_to_source,
    is_large,
    outline,
    outline_of_labels,
    to_source,
)
from vision.photo import Photo
from vision.ssd import Roi

SCALE = 12
"""Photo pixels in a pixel of the fixture's pose, and of the model's mask."""
SIZE = (256 * SCALE, 256 * SCALE)
CANVAS = Canvas(24.0 * SCALE, -12.0 * SCALE, 208.0 * SCALE)
BODY, BEHIND = 90, 150


@pytest.fixture
def truth() -> NDArray[np.uint8]:
    """Head, trunk, arms with fingers, legs."""
    drawn = np.zeros(SIZE[::-1], np.uint8)
    cv2.ellipse(drawn, (128 * SCALE, 40 * SCALE), (17 * SCALE, 24 * SCALE), 0, 0, 360, 255, cv2.FILLED)
    cv2.ellipse(drawn, (128 * SCALE, 112 * SCALE), (36 * SCALE, 52 * SCALE), 0, 0, 360, 255, cv2.FILLED)
    for side in (-1, 1):
        arm = [(128 + side * 27, 75), (128 + side * 47, 105), (128 + side * 62, 135)]
        legs = [(128 + side * 14, 145), (128 + side * 17, 238)]
        for points, width in ((arm, 16), (legs, 26)):
            line = (np.array(points) * SCALE).astype(np.int32)
            cv2.polylines(drawn, [line], isClosed=False, color=255, thickness=width * SCALE)
        for finger in (-4, 0, 4):
            start, end = (128 + side * 62, 135), (128 + side * 66 + finger, 152)
            cv2.line(drawn, *((x * SCALE, y * SCALE) for x, y in (start, end)), 255, 3 * SCALE)
    return drawn


@pytest.fixture
def photo(truth: NDArray[np.uint8]) -> Photo:
    grey = np.where(truth > 0, BODY, BEHIND) + np.random.default_rng(0).normal(0, 4, truth.shape)
    grey = cv2.GaussianBlur(grey.astype(np.uint8), (0, 0), 2)
    return Photo(np.dstack([grey] * 3), np.eye(2, 3))


@pytest.fixture
def large(pose: Pose, truth: NDArray[np.uint8]) -> Pose:
    """The fixture's pose in the photo, with a mask as blunt and as far off as the model's."""
    small = cv2.resize(cv2.GaussianBlur(truth, (0, 0), 1.2 * SCALE), (256, 256), interpolation=cv2.INTER_AREA)
    blunt = cv2.warpAffine(small, np.array([[1.0, 0, 0.7], [0, 1, -0.7]]), (256, 256))
    landmarks = pose.landmarks.copy()
    landmarks[:, :3] *= SCALE
    roi = Roi((128.0 * SCALE, 128.0 * SCALE), 256.0 * SCALE, 0.0)
    box = tuple(side * SCALE for side in pose.box)
    return replace(pose, landmarks=landmarks, mask=blunt, roi=roi, box=box)


def distances(mask: NDArray[np.uint8], truth: NDArray[np.uint8]) -> NDArray[np.float32]:
    """From every pixel of a mask's edge to the nearest of the true one."""
    kernel = np.ones((3, 3), np.uint8)
    edge, true = (cv2.morphologyEx(image, cv2.MORPH_GRADIENT, kernel) for image in (mask, truth))
    return cv2.distanceTransform(cv2.bitwise_not(true), cv2.DIST_L2, cv2.DIST_MASK_5)[edge > 0]


def longest_steps(mask: NDArray[np.uint8]) -> float:
    """Share of the edge's length that runs along rows and columns for five pixels and more."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    moved = np.abs(np.concatenate([np.diff(one[:, 0], axis=0) for one in contours]))
    return float(moved.max(axis=1)[(moved.min(axis=1) == 0) & (moved.max(axis=1) > 4)].sum() / moved.max(axis=1).sum())


def test_edges_follow_the_body_and_have_no_steps(large: Pose, photo: Photo, truth: NDArray[np.uint8]) -> None:
    label_map = atr_label_map(large, CANVAS, SIZE)
    person = np.where(label_map > 0, np.uint8(255), np.uint8(0))
    coarse = to_source(person, CANVAS, SIZE)
    fine = fine_to_source(carried(person, label_map, outline(large, CANVAS, photo)), CANVAS, SIZE)
    assert np.median(distances(coarse, truth)) > 3
    assert np.median(distances(fine, truth)) <= 1.5
    assert np.percentile(distances(fine, truth), 95) < np.percentile(distances(coarse, truth), 95) / 2
    assert longest_steps(coarse) > 0.8
    assert longest_steps(fine) < 0.6


def test_edges_of_a_parsers_labels_follow_the_body(photo: Photo, truth: NDArray[np.uint8]) -> None:
    labels = cv2.warpAffine(truth, CANVAS.to_work, WORK_SIZE, flags=cv2.INTER_AREA) // 255 * np.uint8(4)
    person = np.where(labels > 0, np.uint8(255), np.uint8(0))
    fine = fine_to_source(carried(person, labels, outline_of_labels(labels, CANVAS, photo)), CANVAS, SIZE)
    coarse = to_source(person, CANVAS, SIZE)
    assert np.median(distances(fine, truth)) < np.median(distances(coarse, truth)) / 2
    assert longest_steps(coarse) > 0.8
    assert longest_steps(fine) < 0.6


def test_a_photo_decoded_smaller_gives_the_same_edges(large: Pose, photo: Photo) -> None:
    half = cv2.resize(photo.pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    reduced = Photo(half, np.array([[0.5, 0, 0], [0, 0.5, 0]]))
    one, other = (outline(large, CANVAS, drawn) > 127 for drawn in (photo, reduced))
    assert np.count_nonzero(one != other) < 0.005 * np.count_nonzero(one)


def test_hands_stay_free_up_to_their_own_edges(large: Pose, photo: Photo, truth: NDArray[np.uint8]) -> None:
    label_map = atr_label_map(large, CANVAS, SIZE)
    all_but_hands = np.full(WORK_SIZE[::-1], 255, np.uint8)
    rows = slice(int((132 + 12) * 512 / (208 / 0.75)), None)
    all_but_hands[rows, :90][label_map[rows, :90] > 0] = 0
    covered = fine_to_source(carried(all_but_hands, label_map, outline(large, CANVAS, photo)), CANVAS, SIZE)
    hand = (slice(138 * SCALE, 150 * SCALE), slice(55 * SCALE, 70 * SCALE))
    inside, beside = (
        cv2.erode(image[hand], np.ones((9, 9), np.uint8)) > 0 for image in (truth, cv2.bitwise_not(truth))
    )
    assert (covered[hand][inside] > 0).mean() < 0.02
    assert (covered[hand][beside] > 0).mean() > 0.9


def test_a_mask_is_unchanged_far_from_the_outline() -> None:
    person = cv2.resize(np.full((256, 256), 255, np.uint8), FINE_SIZE)
    mask = np.zeros(WORK_SIZE[::-1], np.uint8)
    mask[100:200, 60:120] = 255
    drawn = fine_to_source(carried(mask, np.full_like(mask, 4), person), CANVAS, SIZE)
    coarse = to_source(mask, CANVAS, SIZE)
    assert np.count_nonzero(drawn != coarse) < 0.01 * np.count_nonzero(coarse)
    nothing = fine_to_source(carried(mask, np.full_like(mask, 4), np.zeros_like(person)), CANVAS, SIZE)
    assert not nothing.any()


@pytest.mark.parametrize("canvas", [Canvas(-5000.0, 0.0, 3000.0), Canvas(2000.0, 2500.0, 3000.0)])
def test_windows_outside_the_photo_are_drawn_only_inside_it(canvas: Canvas) -> None:
    mask = np.full(FINE_SIZE[::-1], 255, np.uint8)
    np.testing.assert_array_equal(fine_to_source(mask, canvas, SIZE) > 0, to_source(mask, canvas, SIZE) > 0)


def test_the_label_map_ends_at_the_outline_and_keeps_its_parts(large: Pose, photo: Photo) -> None:
    person = outline(large, CANVAS, photo)
    fine = fine_label_map(large, CANVAS, person)
    np.testing.assert_array_equal(fine > 0, person > 127)
    coarse = cv2.resize(atr_label_map(large, CANVAS, SIZE), FINE_SIZE, interpolation=cv2.INTER_NEAREST)
    both = (fine > 0) & (coarse > 0)
    assert (fine[both] == coarse[both]).mean() > 0.98


def test_canvas_pixels_of_small_photos_are_small_enough() -> None:
    assert not is_large(Canvas(0.0, 0.0, 1024.0))
    assert is_large(Canvas(0.0, 0.0, 2250.0))
