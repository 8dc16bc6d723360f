import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vision.affine import transform_points
from vision.object_detector import Detections, ObjectDetector
from vision.tiles import Fit, View, fit_affine

LABELS = ("cat", "dog")


def detector(fit: Fit = Fit.LETTERBOX, multiple: int | None = None) -> ObjectDetector:
    return ObjectDetector("pets", LABELS, fit, (64, 64), 0.5, multiple)


def found_in(pets: ObjectDetector, rows: NDArray[np.float32], size: tuple[int, int], least: float) -> Detections:
    """Each object once, in a photo of `size` looked at once."""
    return pets.located(rows, pets.whole(size), size, least).distinct(pets.iou)


def rows(*values: tuple[float, ...]) -> NDArray[np.float32]:
    return np.array(values, np.float32).reshape(-1, 6)


def test_boxes_come_back_to_the_source_best_first_and_none_below_the_least() -> None:
    found = found_in(
        detector(), rows((0, 16, 32, 48, 0.3, 1), (32, 20, 60, 40, 0.9, 0), (0, 0, 9, 9, 0.1, 0)), (128, 64), 0.2
    )
    assert (found.labels, found.model, len(found)) == (("cat", "dog"), "pets", 2)
    np.testing.assert_allclose(found.boxes, [(64, 8, 120, 48), (0, 0, 64, 64)])
    np.testing.assert_allclose(found.scores, [0.9, 0.3])


def test_overlapping_boxes_are_merged_within_a_class_only() -> None:
    same, other = (0, 0, 60, 60, 0.8, 0), (1, 0, 60, 60, 0.7, 1)
    found = found_in(detector(Fit.STRETCH), rows(same, other, (2, 0, 60, 60, 0.6, 0)), (64, 64), 0.5)
    assert found.labels == ("cat", "dog")


def test_boxes_outside_the_photo_or_not_finite_are_left_out() -> None:
    border = (0, 0, 64, 10, 0.9, 0)
    nothing = (5, 20, 5, 40, 0.9, 0)
    odd = (np.nan, 0, 9, 9, 0.9, 0)
    found = found_in(detector(), rows(border, nothing, odd, (-9, 10, 30, 80, 0.9, 1)), (128, 64), 0.5)
    np.testing.assert_allclose(found.boxes, [(0, 0, 60, 64)])


def test_an_empty_input_gives_an_empty_output() -> None:
    found = found_in(detector(), rows(), (128, 64), 0.5)
    assert (found.boxes.shape, found.scores.shape, found.labels) == ((0, 4), (0,), ())


def test_a_selection_keeps_what_belongs_together() -> None:
    found = found_in(detector(), rows((0, 16, 32, 48, 0.3, 1), (32, 20, 60, 40, 0.9, 0)), (128, 64), 0.2)
    dogs = found.select(np.array([False, True]))
    assert (dogs.labels, dogs.scores.tolist(), dogs.boxes.shape) == (("dog",), found.scores[1:].tolist(), (1, 4))


CORNERED = np.array([(0, 16, 32, 48, 0.3, 1, *range(8)), (32, 20, 60, 40, 0.9, 0, *range(16, 24))], np.float32)


def test_corners_go_with_their_boxes_into_the_source() -> None:
    found = found_in(detector(), CORNERED, (128, 64), 0.2)
    assert found.corners is not None
    np.testing.assert_allclose(found.corners[0], [(32, 2), (36, 6), (40, 10), (44, 14)])
    dogs = found.select(np.array([False, True])).corners
    assert dogs is not None
    np.testing.assert_allclose(dogs, [[(0, -30), (4, -26), (8, -22), (12, -18)]])


def test_rows_without_corners_and_no_rows_stay_what_they_are() -> None:
    assert found_in(detector(), rows((0, 16, 32, 48, 0.9, 1)), (128, 64), 0.2).corners is None
    nothing = found_in(detector(), CORNERED, (128, 64), 0.95).corners
    assert nothing is not None
    assert nothing.shape == (0, 4, 2)


def test_a_box_whose_corner_is_not_a_number_is_left_out() -> None:
    odd = CORNERED.copy()
    odd[1, 9] = np.inf
    assert found_in(detector(), odd, (128, 64), 0.2).labels == ("dog",)


@given(
    size=st.tuples(st.integers(40, 3000), st.integers(40, 3000)),
    share=st.tuples(*[st.floats(0, 0.4)] * 2, *[st.floats(0.5, 1)] * 2),
    fit=st.sampled_from(Fit),
    multiple=st.sampled_from([None, 32]),
)
def test_a_box_drawn_into_the_input_is_found_where_it_was(
    size: tuple[int, int], share: tuple[float, ...], fit: Fit, multiple: int | None
) -> None:
    pets = detector(fit, multiple)
    box = np.array(share) * (*size, *size)
    affine = fit_affine(size, pets.whole(size).input, fit)
    row = transform_points(box.reshape(2, 2), affine).ravel()
    found = found_in(pets, rows((*row, 0.9, 1)), size, 0.5)
    np.testing.assert_allclose(found.boxes[0], box, atol=max(size) * 1e-4)


def test_the_input_follows_the_photo_where_the_model_lets_it() -> None:
    view = View(np.zeros((30, 60, 3), np.uint8))
    for pets, shape in ((detector(), (64, 64, 3)), (detector(Fit.STRETCH, 32), (32, 64, 3))):
        assert pets.draw(view, pets.whole(view.size)).shape == shape


@given(st.sampled_from([-1.0, 2.0, 1e30, -1e30]))
def test_a_class_without_a_label_is_left_out(index: float) -> None:
    found = found_in(detector(), rows((0, 16, 32, 48, 0.9, index), (32, 20, 60, 40, 0.8, 1)), (128, 64), 0.2)
    assert found.labels == ("dog",)
