import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.intake.bodies import check_photo, content_hint, photo_hint
from gateway.intake.multipart import parse_multipart
from gateway.intake.submissions import read_submission
from tests.unit.gateway.kafka.values import ENCODED, PHOTO

FORM = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nabc\r\n--x--\r\n'


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (FORM, "multipart/form-data", "names no boundary"),
        (FORM, 'multipart/form-data; boundary=""', "names no boundary"),
        (FORM, "multipart/form-data, boundary=x", "names no boundary"),
        (FORM, "multipart/form-data; charset=utf-8", "names no boundary"),
        (FORM, "multipart/form-data; boundary=y", "begins with --x, and the header Content-Type says --y"),
        (FORM, "multipart/form-data; boundary=--x", "begins with --x, and the header Content-Type says ----x"),
        (b'{"image": "a"}', "multipart/form-data; boundary=x", "it is JSON"),
        (b"a=1&b=2", "multipart/form-data; boundary=x", "`name=value` pairs"),
        (PHOTO, "multipart/form-data; boundary=x", "it is a photo (PNG)"),
        (b"preamble\r\n" + FORM, "multipart/form-data; boundary=x", "does not begin with --x"),
        (FORM.replace(b"\r\n", b"\n"), "multipart/form-data; boundary=x", "end in LF"),
        (FORM[:-4], "multipart/form-data; boundary=x", "closing boundary is missing"),
        (b"", "multipart/form-data; boundary=x", "closing boundary is missing"),
        (FORM.replace(b' name="image"', b""), "multipart/form-data; boundary=x", "A part has no name"),
        (FORM, "multipart/form-data; boundary=" + "x" * 300, "exceeds maximum"),
    ],
)
def test_a_broken_form_is_told_what_is_wrong_with_it(body, kind, said):
    with pytest.raises(Problem) as caught:
        parse_multipart((body,), kind, ("image",))
    assert caught.value.code == "invalid_multipart"
    assert said in caught.value.detail
    assert len(caught.value.detail) < 300


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (FORM, "it is a multipart form"),
        (PHOTO, "it is a photo (PNG)"),
        (b"\xff\xd8\xff\xe0", "it is a photo (JPEG)"),
        (b"\x1f\x8b\x08", "Content-Encoding: gzip"),
        (b"image=a&gender=m", "curl: -F in the place of -d"),
        (ENCODED.encode(), "it is base64"),
        (b"https://a.example/b.jpg", "it is a URL"),
    ],
)
def test_a_body_sent_as_json_is_refused_with_what_it_is(body, said):
    with pytest.raises(Problem) as caught:
        read_submission(body, "application/json", "")
    assert caught.value.code == "invalid_json"
    assert said in caught.value.detail


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (json.dumps({"image": ENCODED}).encode(), "it is JSON"),
        (FORM, "it is a multipart form"),
        (ENCODED.encode(), "it is base64"),
        (base64.encodebytes(PHOTO), "it is base64"),
        (f"data:image/png;base64,{ENCODED}".encode(), "it is a data: URL"),
        (repr(PHOTO).encode(), "how Python shows bytes"),
        (b"photo.jpg", "a file's name"),
        (b"@/home/me/a b.png", "a file's name"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied', "it is XML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"%PDF-1.7", "of type"),
    ],
)
def test_a_file_sent_as_a_photo_is_refused_with_what_it_is(data, said):
    with pytest.raises(Problem) as caught:
        check_photo(data, 10**8)
    assert said in caught.value.detail


@given(st.binary(max_size=600))
def test_any_bytes_are_described_in_a_short_text_or_not_at_all(data):
    for said in (content_hint(data), photo_hint(data)):
        assert said.isprintable()
        assert len(said) < 120


@pytest.mark.parametrize("unit", [b"a", b"a ", b"/9j/", b"a.", b" ", b"--a", b"a=a", b"[", b"\\"])
def test_any_body_is_recognised_within_a_short_time(unit):
    assert len(content_hint(unit * 100_000)) < 120
