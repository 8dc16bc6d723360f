import cv2
import numpy as np

from vision.affine import compose, invert, of_indices, scale_and_shift, transform_points, warp

TURN = np.array([[0.0, -2.0, 7.0], [2.0, 0.0, 1.0]])
POINTS = np.array([(0.0, 0.0), (3.0, 5.0), (-2.0, 4.0)])


def test_compose_applies_the_first_map_first() -> None:
    shift = scale_and_shift(1.0, 10.0, 0.0)
    expected = transform_points(transform_points(POINTS, shift), TURN)
    np.testing.assert_allclose(transform_points(POINTS, compose(shift, TURN)), expected)


def test_invert_undoes() -> None:
    np.testing.assert_allclose(compose(TURN, invert(TURN)), np.eye(2, 3), atol=1e-12)


def test_warp_enlarges_about_pixel_corners() -> None:
    image = np.array([[10, 20], [30, 40]], dtype=np.uint8)
    doubled = warp(image, scale_and_shift(2.0, 0.0, 0.0), (4, 4), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(doubled, image.repeat(2, axis=0).repeat(2, axis=1))


def test_index_maps_leave_the_first_pixel_in_place() -> None:
    affine = of_indices(scale_and_shift(2.0, 0.0, 0.0))
    np.testing.assert_allclose(transform_points(np.array([(0.5, 0.5), (1.5, 1.5)]), affine), [(0.5, 0.5), (2.5, 2.5)])
