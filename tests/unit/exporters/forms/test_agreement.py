from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from exporters.forms.agreement import REPEATS, Confusion, Labels, Rows, box_agreement, compare_speed

COUNT = 5
maps = arrays.arrays(np.uint8, (4, 6), elements=st.integers(0, COUNT - 1))
IMAGES = [np.full((2, 2, 3), value, np.uint8) for value in range(3)]


def agreement_of(*pairs: tuple[Labels, Labels]):
    confusion = Confusion(COUNT)
    for model, form in pairs:
        confusion.add(model, form)
    return confusion.agreement()


@given(maps, maps)
def test_the_numbers_are_those_of_sets_of_pixels(model: Labels, form: Labels) -> None:
    found = agreement_of((model, form))
    places = [{label: set(np.flatnonzero(labels == label)) for label in range(COUNT)} for labels in (model, form)]
    expected = {
        label: len(places[0][label] & places[1][label]) / len(union)
        for label in range(COUNT)
        if (union := places[0][label] | places[1][label])
    }
    assert found.iou == pytest.approx(expected)
    assert found.mean_iou == pytest.approx(sum(expected.values()) / len(expected))
    assert found.equal == pytest.approx((model == form).mean())
    assert found.pixels == model.size


@given(maps, maps, maps, maps)
def test_photos_add_up_to_one_large_photo(a: Labels, b: Labels, c: Labels, d: Labels) -> None:
    assert agreement_of((a, b), (c, d)) == agreement_of((np.vstack((a, c)), np.vstack((b, d))))


@given(maps)
def test_a_model_agrees_with_itself(labels: Labels) -> None:
    found = agreement_of((labels, labels))
    assert (found.equal, found.mean_iou, set(found.iou)) == (1, 1, set(np.unique(labels).tolist()))


def test_a_label_that_the_form_lost_counts_as_nothing_found() -> None:
    model, form = np.array([[0, 0, 3, 3]], np.uint8), np.zeros((1, 4), np.uint8)
    found = agreement_of((model, form))
    assert found.iou == {0: 0.5, 3: 0.0}
    assert (found.equal, found.mean_iou) == (0.5, 0.25)


def test_without_photos_nothing_differs() -> None:
    assert agreement_of().model_dump() == {"pixels": 0, "equal": 1.0, "mean_iou": 1.0, "iou": {}}


@pytest.mark.parametrize(
    ("form", "message"),
    [(np.zeros((1, 3), np.uint8), r"\(1, 4\) and \(1, 3\)"), (np.full((1, 4), 5, np.uint8), "label 5")],
)
def test_maps_that_cannot_be_compared_are_refused(form: Labels, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        agreement_of((np.zeros((1, 4), np.uint8), form))


def test_time_is_the_median_photo_with_the_fastest_run_of_each() -> None:
    """The model takes 40 ms, the form 10; each photo takes as much longer, and the first run is slow."""
    now, ran = [0.0], []

    def runner(name: str, delays: Iterator[float]):
        def run(image: np.ndarray) -> None:
            now[0] += next(delays) + int(image.max()) / 1000
            ran.append(name)

        return run

    model = iter([9.0, *[0.05, 0.04, 0.06] * 3])
    form = iter([9.0, *[0.01, 0.03, 0.02] * 3])
    speed = compare_speed(runner("model", model), runner("form", form), IMAGES, lambda: now[0])
    assert (speed.model_ms, speed.form_ms) == (pytest.approx(41), pytest.approx(11))
    assert speed.gain == pytest.approx(41 / 11)
    assert ran == ["model", "form"] * (1 + REPEATS * len(IMAGES))


def test_speed_needs_a_photo() -> None:
    with pytest.raises(ValueError, match="at least one photo"):
        compare_speed(lambda _: None, lambda _: None, [])


rows = arrays.arrays(np.float32, (7, 6), elements=st.floats(0, 1, width=32)).map(
    lambda drawn: np.hstack((drawn[:, :2] * 10, drawn[:, :2] * 10 + 5, drawn[:, 4:5], drawn[:, 5:].round()))
)


@given(rows)
def test_a_detector_agrees_with_itself(found: Rows) -> None:
    agreement = box_agreement([(found, found)])
    assert (agreement.found, agreement.confirmed) == (1.0, 1.0)
    assert agreement.boxes == (found[:, 4] >= 0.5).sum()


def test_boxes_of_another_class_or_place_or_too_low_a_score_are_not_found() -> None:
    model = np.array([[0, 0, 10, 10, 0.9, 0], [50, 50, 60, 60, 0.9, 0], [80, 80, 90, 90, 0.9, 1]], np.float32)
    form = np.array([[1, 0, 11, 10, 0.3, 0], [56, 50, 66, 60, 0.9, 0], [80, 80, 90, 90, 0.9, 0]], np.float32)
    agreement = box_agreement([(model, form)])
    assert agreement.boxes == 3
    assert agreement.found == pytest.approx(1 / 3)
    assert agreement.confirmed == 0
