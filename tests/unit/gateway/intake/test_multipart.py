import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.intake.multipart import MAX_PARTS, parse_multipart
from gateway.intake.submissions import multipart_submission
from gateway.jobs.job import ImageReference

BOUNDARY_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-./:=?"
NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12)
CONTENTS = st.binary(max_size=200) | st.sampled_from([b"\r\n", b"--", b"\r\n--", b"\r" * 9, b"\r\n\r\n--a\r\n"])
PARTS = st.lists(st.tuples(NAMES, CONTENTS), min_size=1, max_size=6)


def encode(parts: list[tuple[str, bytes]], boundary: str) -> bytes:
    delimiter = f"--{boundary}".encode()
    encoded = (
        delimiter + f'\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts
    )
    return b"".join(encoded) + delimiter + b"--\r\n"


def content_type(boundary: str) -> str:
    return f'multipart/form-data; boundary="{boundary}"'


@given(PARTS, st.text(BOUNDARY_CHARACTERS, min_size=20, max_size=70), st.lists(st.integers(0, 2000), max_size=8))
def test_a_form_has_the_same_parts_however_its_body_is_split(
    parts: list[tuple[str, bytes]], boundary: str, cuts: list[int]
) -> None:
    body = encode(parts, boundary)
    edges = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    chunks = [body[start:end] for start, end in itertools.pairwise(edges)]
    read = parse_multipart(chunks, content_type(boundary), ("image",))
    assert [(part.name, part.data) for part in read] == parts


@given(st.binary(max_size=300))
def test_any_bytes_are_parts_or_a_problem(body: bytes) -> None:
    assert code_of(body) in {None, "invalid_multipart"}


def code_of(body: bytes) -> str | None:
    try:
        parse_multipart([body], content_type("abc"), ("image",))
    except Problem as problem:
        return problem.code
    return None


@given(st.integers(0, 94))
def test_a_cut_off_body_is_refused(length: int) -> None:
    body = encode([("image", b"x" * 40)], "bound")[:length]
    with pytest.raises(Problem, match="invalid_multipart"):
        parse_multipart([body], content_type("bound"), ("image",))


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", content_type("b" * 300)])
def test_a_bad_boundary_is_refused(kind: str) -> None:
    with pytest.raises(Problem, match="invalid_multipart"):
        parse_multipart([encode([("image", b"x")], "abc")], kind, ("image",))


def test_too_many_parts_are_refused() -> None:
    with pytest.raises(Problem, match="At most"):
        parse_multipart([encode([("a", b"")] * (MAX_PARTS + 1), "abc")], content_type("abc"), ("image",))


@pytest.mark.parametrize("name", ["image", "file", "user_image"])
def test_a_form_gives_the_photo_and_the_other_fields(name: str) -> None:
    parts = [(name, b"\xff\xd8"), ("mask_types", b"dress"), ("mask_types", b"upper_body"), ("gender", b"m")]
    submission = multipart_submission(encode(parts, "abc"), content_type("abc"))
    assert submission.image == b"\xff\xd8"
    assert submission.fields == {"mask_types": ["dress", "upper_body"], "gender": "m"}


@pytest.mark.parametrize(("content", "text"), [(b"\x89PNG\xff", "iVBOR/8="), (b'{"nose": [1]}', '{"nose": [1]}')])
def test_a_label_map_is_a_file_or_text(content: bytes, text: str) -> None:
    parts = [("image", b"photo"), ("segmentation_map", content)]
    assert multipart_submission(encode(parts, "abc"), content_type("abc")).fields == {"segmentation_map": text}


@pytest.mark.parametrize("kind", ["url", "s3"])
def test_a_location_is_used_in_place_of_the_photo(kind: str) -> None:
    parts = [(kind, b"there"), ("gender", b"m")]
    submission = multipart_submission(encode(parts, "abc"), content_type("abc"))
    assert (submission.image, submission.fields) == (ImageReference(kind, "there"), {"gender": "m"})


def test_an_empty_location_counts_as_absent() -> None:
    parts = [("image", b"photo"), ("url", b""), ("s3", b"")]
    assert multipart_submission(encode(parts, "abc"), content_type("abc")).image == b"photo"


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([("gender", b"m")], "missing_image"),
        ([("image", b"a"), ("url", b"there")], "invalid_parameters"),
        ([("image", b"a"), ("file", b"b")], "invalid_parameters"),
        ([("image", b"a"), ("gender", b"\xff")], "invalid_parameters"),
    ],
)
def test_malformed_forms_are_refused(parts: list[tuple[str, bytes]], code: str) -> None:
    with pytest.raises(Problem) as caught:
        multipart_submission(encode(parts, "abc"), content_type("abc"))
    assert caught.value.code == code


def test_a_part_without_a_name_is_refused() -> None:
    with pytest.raises(Problem, match="no name"):
        parse_multipart([b"--abc\r\nContent-Type: image/png\r\n\r\nx\r\n--abc--\r\n"], content_type("abc"), ("image",))
