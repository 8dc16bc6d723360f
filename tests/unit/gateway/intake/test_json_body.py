import base64
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.intake.submissions import check_json_start, json_submission
from gateway.jobs.job import ImageReference


@given(st.binary(max_size=200))
def test_a_photo_is_read_from_json_in_every_form(image: bytes) -> None:
    text = base64.b64encode(image).decode()
    ways: list[object] = [
        text,
        base64.encodebytes(image).decode(),
        {"base64": text},
        {"type": "base64", "data": text},
        {"type": "base64", "data": f"data:image/jpeg;base64,{text}"},
    ]
    for way in ways:
        submission = json_submission(json.dumps({"image": way, "gender": "M"}).encode())
        assert submission.image == image
        assert submission.fields == {"gender": "M"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b"[" * 100_000, "invalid_json"),
        (b'{"image": ' + b"9" * 5000 + b"}", "invalid_json"),
        (b"[]", "invalid_json"),
        (b"null", "invalid_json"),
        (b"{}", "missing_image"),
        (b'{"image": null}', "missing_image"),
        (b'{"image": 7}', "missing_image"),
        (b'{"image": {}}', "missing_image"),
        (b'{"image": {"base64": 7}}', "missing_image"),
        (b'{"image": {"type": "base64"}}', "missing_image"),
        (b'{"image": {"type": "ftp", "data": "x"}}', "invalid_parameters"),
        (b'{"image": {"type": "url"}}', "missing_image"),
        (b'{"image": "abcde"}', "invalid_base64"),
        (b'{"image": "ab!d"}', "invalid_base64"),
        (b'{"image": "ab!cd"}', "invalid_base64"),
        ('{"image": "éé=="}'.encode(), "invalid_base64"),
    ],
)
def test_a_wrong_json_body_is_refused_with_its_code(body: bytes, code: str) -> None:
    with pytest.raises(Problem) as caught:
        json_submission(body)
    assert caught.value.code == code


@pytest.mark.parametrize("kind", ["url", "s3"])
def test_a_photos_location_is_read_from_json_in_every_form(kind: str) -> None:
    for way in ({kind: "there"}, {"type": kind, "data": "there"}):
        submission = json_submission(json.dumps({"image": way, "gender": "M"}).encode())
        assert submission.image == ImageReference(kind, "there")
        assert submission.fields == {"gender": "M"}


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_submission_or_a_problem(body: bytes) -> None:
    assert code_of(body) in {None, "invalid_json", "missing_image", "invalid_base64", "invalid_parameters"}


def code_of(body: bytes) -> str | None:
    try:
        json_submission(body)
    except Problem as problem:
        return problem.code
    return None


@pytest.mark.parametrize(
    "start",
    [
        b'{"image": "x"' + b" " * 60_000,
        b"{" + b"\n" * 60_000,
        b'{"image": "x"' + b"}" * 60_000,
        b'{"image": "x", "gender"' + b" " * 60_000,
        b'{"image": "x"' + b', "gender": ""' * 140_000,
        b'{"image": "x"' + b',"a":0' * 190_000,
    ],
    ids=["spaces", "line ends", "braces", "spaces after a name", "members of a text", "members of a number"],
)
def test_the_quick_check_is_fast_whatever_the_body_begins_with(start: bytes) -> None:
    """It is taken on the event loop, where each moment is everybody's."""
    began = time.process_time()
    check_json_start(start)
    assert time.process_time() - began < 0.3


def test_the_member_that_is_too_large_is_named_among_many_small_ones() -> None:
    small = b"".join(b'"a%d": 0, ' % number for number in range(100))
    with pytest.raises(Problem) as caught:
        check_json_start(b'{"image": "x", ' + small + b'"landmarks": [' + b"0," * 300_000)
    assert caught.value.code == "field_too_large"
    assert caught.value.detail.startswith("landmarks")
