import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.vision.face.drawing import SIZE, mesh_landmarks
from vision.face.landmarks import COUNTS, parse_landmarks
from vision.face.options import FaceError

POINTS = mesh_landmarks(468)[:68]
DICTS = [{"x": x, "y": y} for x, y in POINTS.tolist()]

FORMS = {
    "json": json.dumps(DICTS),
    "with depth": json.dumps([{**point, "z": -0.5} for point in DICTS]),
    "pairs": json.dumps(POINTS.tolist()),
    "mapping": json.dumps({"landmarks": DICTS, "image_url": "https://example.org/a'b.png"}),
    "nested": json.dumps({"landmarks": [DICTS]}, indent=2),
    "python": repr({"landmarks": [DICTS], "dimensions": list(SIZE), "image_url": 'a"b', "mirrored": None}),
    "tuples": repr(tuple(map(tuple, POINTS.tolist()))),
    "commas": "\n".join(f"{x},{y}" for x, y in POINTS.tolist()),
    "blanks": "\n\n".join(f"  {x} \t {y} " for x, y in POINTS.tolist()) + "\n",
    "byte order mark": "\ufeff" + json.dumps(DICTS),
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_points(text: str) -> None:
    (face,) = parse_landmarks(text.encode()).in_photo(SIZE)
    np.testing.assert_allclose(face, POINTS)


@pytest.mark.parametrize("count", COUNTS)
def test_the_counts_that_are_accepted(count: int) -> None:
    (face,) = parse_landmarks(json.dumps([[1, 2]] * count).encode()).faces
    assert face.shape == (count, 2)


def test_several_faces() -> None:
    faces = parse_landmarks(json.dumps({"landmarks": [DICTS, DICTS]}).encode()).faces
    assert [face.shape for face in faces] == [(68, 2)] * 2


def test_landmarks_of_another_size_are_scaled() -> None:
    text = json.dumps({"landmarks": DICTS, "dimensions": [SIZE[0] * 2, SIZE[1] * 4]})
    (face,) = parse_landmarks(text.encode()).in_photo(SIZE)
    np.testing.assert_allclose(face, POINTS / (2, 4))


REFUSED = [
    (b"", "landmarks_count"),
    (b"[]", "landmarks_unreadable"),
    (b"[[]]", "landmarks_count"),
    (b"{}", "landmarks_unreadable"),
    (json.dumps(DICTS[:67]).encode(), "landmarks_count"),
    (json.dumps([{"x": 1, "y": True}] * 68).encode(), "landmarks_unreadable"),
    (json.dumps([{"x": 1}] * 68).encode(), "landmarks_unreadable"),
    (json.dumps([{"x": 1, "y": float("nan")}] * 68).encode(), "landmarks_unreadable"),
    (b'[{"x": 1, "y": 1' + b"0" * 400 + b"}]", "landmarks_unreadable"),
    (b'[{"x": 1, "y": 1' + b"0" * 5000 + b"}]", "landmarks_unreadable"),
    (b"1,2\n3,nan", "landmarks_unreadable"),
    (b"1,2\nx,y", "landmarks_unreadable"),
    (b"\xff\xfe", "landmarks_unreadable"),
    (b"[" * 100_000, "landmarks_unreadable"),
    (b" " + b"[[1,2]," * 200_000, "landmarks_unreadable"),
    (b"0," * 400_000, "landmarks_unreadable"),
    (b"0 0\n" * 200_000, "landmarks_count"),
    (b"[" + b"[]," * 300_000 + b"0]", "landmarks_unreadable"),
    (b"__import__('os')", "landmarks_unreadable"),
    (b"[__import__('os')]", "landmarks_unreadable"),
    (b"['\\N{nothing}']", "landmarks_unreadable"),
    (json.dumps({"landmarks": DICTS, "dimensions": [0, 5]}).encode(), "landmarks_unreadable"),
    (json.dumps({"landmarks": DICTS, "dimensions": [10**400, 5]}).encode(), "landmarks_unreadable"),
]


@pytest.mark.parametrize(("text", "code"), REFUSED)
def test_invalid_input_is_refused(text: bytes, code: str) -> None:
    with pytest.raises(FaceError) as refused:
        parse_landmarks(text)
    assert refused.value.code == code


def test_a_wrong_count_names_the_accepted_ones() -> None:
    with pytest.raises(FaceError, match=r"67.*478, 468, 68"):
        parse_landmarks(json.dumps(DICTS[:67]).encode())


@pytest.mark.parametrize(
    ("points", "code"),
    [
        (np.add(POINTS, (400, 0)), "landmarks_outside"),
        (np.subtract(POINTS, (0, 480)), "landmarks_outside"),
        (np.vstack((POINTS[1:], [(1000, 200)])), "landmarks_outside"),
        (POINTS / SIZE, "landmarks_degenerate"),
    ],
)
def test_where_a_face_may_not_lie(points: np.ndarray, code: str) -> None:
    landmarks = parse_landmarks(json.dumps(points.tolist()).encode())
    with pytest.raises(FaceError) as refused:
        landmarks.in_photo(SIZE)
    assert refused.value.code == code


def test_a_face_cut_by_the_photo_is_accepted() -> None:
    parse_landmarks(json.dumps((np.add(POINTS, (180, 0))).tolist()).encode()).in_photo(SIZE)


@given(st.one_of(st.binary(max_size=200), st.text("[]{}()'\"\\,: x1.-\n", max_size=60).map(str.encode)))
@example(b"'" * 9)
def test_any_text_is_accepted_or_refused_with_a_code(data: bytes) -> None:
    with suppress(FaceError):
        parse_landmarks(data)
