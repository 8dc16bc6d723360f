import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.arrays import Box
from vision.tracking import Patience, Sighting, completed

PATIENCE = Patience(gap=3, hold=2)


def face(x: float, y: float = 0, side: float = 20) -> Sighting:
    return Sighting("face", (x, y, x + side, y + side))


def boxes(frames: list[list[Sighting]]) -> list[list[Box]]:
    return [[one.box for one in frame] for frame in frames]


def test_a_face_missed_for_a_while_moves_evenly_between_its_sightings() -> None:
    frames = completed([[face(0)], [], [], [face(12)]], PATIENCE)
    assert boxes(frames) == [[(x, 0, x + 20, 20)] for x in (0, 4, 8, 12)]


def test_a_face_is_held_before_its_first_and_after_its_last_sighting() -> None:
    frames = completed([[], [], [], [face(5)], [], [], [], []], PATIENCE)
    assert [len(frame) for frame in frames] == [0, 1, 1, 1, 1, 1, 0, 0]
    assert {one.box for frame in frames for one in frame} == {(5, 0, 25, 20)}


@pytest.mark.parametrize(("missed", "filled"), [(3, 3), (4, 4), (6, 4)])
def test_one_missed_for_longer_is_another(missed: int, filled: int) -> None:
    frames = completed([[face(0)], *[[] for _ in range(missed)], [face(8)]], PATIENCE)
    assert sum(bool(frame) for frame in frames) == 2 + filled


def test_faces_that_pass_one_another_keep_their_own_boxes() -> None:
    frames = [[face(0), face(100)], [face(90), face(10)], [face(20), face(80)]]
    assert [sorted(frame) for frame in boxes(completed(frames, PATIENCE))] == [sorted(frame) for frame in boxes(frames)]


def test_a_face_and_a_plate_in_one_place_are_two() -> None:
    plate = Sighting("license_plate", face(0).box)
    frames = completed([[face(0)], [plate], [face(0)]], Patience(gap=3, hold=0))
    assert [{one.label for one in frame} for frame in frames] == [{"face"}, {"face", "license_plate"}, {"face"}]


SIGHTINGS = st.builds(face, st.integers(0, 200), st.integers(0, 200), st.integers(1, 50))


@given(st.lists(st.lists(SIGHTINGS, max_size=4), max_size=12), st.integers(0, 4), st.integers(0, 4))
def test_every_sighting_stays_where_it_was_seen(frames: list[list[Sighting]], gap: int, hold: int) -> None:
    found = completed(frames, Patience(gap, hold))
    assert len(found) == len(frames)
    for seen, known in zip(boxes(frames), boxes(found), strict=True):
        for box in seen:
            assert any(max(abs(a - b) for a, b in zip(box, other, strict=True)) < 1e-6 for other in known)
