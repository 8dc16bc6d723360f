from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.arrays import Box
from vision.tracking import HoldTimes, Sighting, completed

HOLD_TIMES = HoldTimes(gap=0.3, hold=0.2)


def face(x: float, y: float = 0, side: float = 20) -> Sighting:
    return Sighting("face", (x, y, x + side, y + side))


def boxes(frames: list[list[Sighting]]) -> list[list[Box]]:
    return [[one.box for one in frame] for frame in frames]


def tenths(frames: list[list[Sighting]], hold_times: HoldTimes = HOLD_TIMES) -> list[list[Sighting]]:
    """Of a film with ten frames a second."""
    return completed([number / 10 for number in range(len(frames))], frames, hold_times)


def test_a_face_missed_for_a_while_moves_evenly_between_its_sightings() -> None:
    frames = tenths([[face(0)], [], [], [face(12)]])
    assert boxes(frames) == [[pytest.approx((x, 0, x + 20, 20))] for x in (0, 4, 8, 12)]


def test_a_face_moves_evenly_in_time_not_from_frame_to_frame() -> None:
    frames = completed([0, 0.1, 0.4], [[face(0)], [], [face(12)]], HOLD_TIMES)
    assert boxes(frames) == [[(0, 0, 20, 20)], [pytest.approx((3, 0, 23, 20))], [(12, 0, 32, 20)]]


def test_a_face_is_held_before_its_first_and_after_its_last_sighting() -> None:
    frames = tenths([[], [], [], [face(5)], [], [], [], []])
    assert [len(frame) for frame in frames] == [0, 1, 1, 1, 1, 1, 0, 0]
    assert {one.box for frame in frames for one in frame} == {(5, 0, 25, 20)}


def test_a_face_is_held_for_the_same_time_at_any_frame_rate() -> None:
    times = [0, 1, 1.85, 1.9, 2, 2.1, 2.15, 3]
    frames = completed(times, [[face(5)] if time == 2 else [] for time in times], HOLD_TIMES)
    assert [len(frame) for frame in frames] == [0, 0, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize(("missed", "filled"), [(3, 3), (4, 4), (6, 4)])
def test_an_object_missed_for_longer_is_not_filled_in(missed: int, filled: int) -> None:
    frames = tenths([[face(0)], *[[] for _ in range(missed)], [face(8)]])
    assert sum(bool(frame) for frame in frames) == 2 + filled


def test_an_object_seen_in_two_consecutive_frames_is_one_track_however_far_apart() -> None:
    frames = completed([0, 5, 5.1, 5.2], [[face(0)], [face(4)], [], [face(8)]], HOLD_TIMES)
    assert [len(frame) for frame in frames] == [1, 1, 1, 1]


def test_faces_that_pass_one_another_keep_their_own_boxes() -> None:
    frames = [[face(0), face(100)], [face(90), face(10)], [face(20), face(80)]]
    assert [sorted(frame) for frame in boxes(tenths(frames))] == [sorted(frame) for frame in boxes(frames)]


def test_a_face_and_a_plate_in_the_same_place_are_both_kept() -> None:
    plate = Sighting("license_plate", face(0).box)
    frames = tenths([[face(0)], [plate], [face(0)]], HoldTimes(gap=0.3, hold=0))
    assert [{one.label for one in frame} for frame in frames] == [{"face"}, {"face", "license_plate"}, {"face"}]


SIGHTINGS = st.builds(face, st.integers(0, 200), st.integers(0, 200), st.integers(1, 50))
MOMENTS = st.lists(st.tuples(st.integers(1, 3000), st.lists(SIGHTINGS, max_size=4)), max_size=12)
SECONDS = st.floats(0, 3)


@given(MOMENTS, SECONDS, SECONDS)
def test_every_sighting_stays_where_it_was_seen(moments: list[tuple[int, list[Sighting]]], gap: float, hold: float):
    times = [ms / 1000 for ms in accumulate(ms for ms, _ in moments)]
    frames = [seen for _, seen in moments]
    found = completed(times, frames, HoldTimes(gap, hold))
    assert len(found) == len(frames)
    for seen, known in zip(boxes(frames), boxes(found), strict=True):
        for box in seen:
            assert any(max(abs(a - b) for a, b in zip(box, other, strict=True)) < 1e-6 for other in known)


@given(MOMENTS, SECONDS, SECONDS)
def test_nothing_is_hidden_further_from_a_sighting_than_the_patience_allows(
    moments: list[tuple[int, list[Sighting]]], gap: float, hold: float
):
    times = [ms / 1000 for ms in accumulate(ms for ms, _ in moments)]
    frames = [seen for _, seen in moments]
    seen_at = [time for time, seen in zip(times, frames, strict=True) if seen]
    for time, known in zip(times, completed(times, frames, HoldTimes(gap, hold)), strict=True):
        if known:
            away = min(abs(time - other) for other in seen_at)
            before, after = [at for at in seen_at if at <= time], [at for at in seen_at if at >= time]
            assert away <= hold + 1e-6 or (before and after), "between sightings, or held"


@given(MOMENTS, SECONDS, SECONDS, st.integers(2, 100))
def test_speeding_up_a_film_and_its_patience_alike_hides_the_same_faces(
    moments: list[tuple[int, list[Sighting]]], gap: float, hold: float, speed: int
):
    times = [float(ms) for ms in accumulate(ms for ms, _ in moments)]
    frames = [seen for _, seen in moments]
    slow = completed(times, frames, HoldTimes(round(gap * 100), round(hold * 100)))
    fast = completed(
        [time / speed for time in times], frames, HoldTimes(round(gap * 100) / speed, round(hold * 100) / speed)
    )
    assert [len(frame) for frame in slow] == [len(frame) for frame in fast]
