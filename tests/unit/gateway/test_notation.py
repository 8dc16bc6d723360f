import base64
import json
import re
import tracemalloc
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.untrusted_text import read_base64, read_json

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
FINITE = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | FINITE | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(VALUES.map(lambda value: {"value": value}), st.sampled_from(ENCODINGS), st.booleans())
def test_any_value_comes_back_in_whichever_encoding_it_came(value, encoding, ascii_alone):
    assert read_json(json.dumps(value, ensure_ascii=ascii_alone).encode(encoding)) == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": "\\ud83d"}', r"\ud83d is half a character"),
        (b'{"a": ["x\\udfff"]}', r"\udfff is half a character"),
        (b'{"\\ud800": 1}', r"\ud800 is half a character"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8: byte 7"),
        ('{"a": "\ud800"}'.encode("utf-16-le", "surrogatepass"), "not UTF-16-LE: byte 14"),
        ("ä".encode("latin-1"), "not UTF-8: byte 0"),
        (b'\xef\xbb\xbf{"a": "\xff"}', "not UTF-8: byte"),
        (b"1" * 5000, "5000 digits"),
        (b'{"a": [-' + b"1" * 5000 + b"]}", "5001 digits"),
        (b"1e999", "too large"),
        (b'{"a": [-1e400]}', "too large"),
        (b"NaN", "NaN is not JSON"),
        (b'{"a": [-Infinity]}', "-Infinity is not JSON"),
        (b'{"image": 1, "b": {"a": 1, "a": 1}}', "'a' is given twice"),
        (b"[" * 65 + b"]" * 65, "deeper than 64"),
        (b"[" * 90_000, "deeper than 64"),
        (b'{"a":' * 90_000, "deeper than 64"),
        (b"[0" + b",0" * 200_000 + b"]", "more than 200000 values"),
        (b'{"a": "\n"}', "Invalid control character"),
        (b'{"a": "\0"}', "Invalid control character"),
        (b'{"a": 1}\0', "Extra data"),
        (b'\0\0\0\0\7{"a": 1}', "a schema registry frames"),
        (b"", "Expecting value"),
    ],
)
def test_ambiguous_json_is_refused_with_the_fault(data, said):
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        read_json(data)
    assert str(caught.value).isprintable()


def test_input_at_the_limits_is_read():
    assert read_json(b"[" * 64 + b"]" * 64)
    assert read_json(b"1" * 4000) == int("1" * 4000)
    assert read_json(b'"\\u0000\\ud83d\\ude00"') == "\0\N{GRINNING FACE}"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error_that_can_be_kept(data):
    try:
        said = json.dumps(read_json(data), ensure_ascii=False)
    except ValueError as error:
        said = str(error)
    said.encode()


@given(st.binary(max_size=200), st.sampled_from(["\n", "\r\n", " ", "\t"]), st.integers(1, 80))
def test_every_way_of_writing_base64_gives_the_same_bytes(data, between, width):
    plain = base64.b64encode(data).decode()
    safe = base64.urlsafe_b64encode(data).decode()
    for text in (plain, safe, plain.rstrip("="), safe.rstrip("="), f"  {plain}\n"):
        cut = between.join(text[at : at + width] for at in range(0, len(text), width))
        for written in (text, cut, f"data:image/png;base64,{cut}", f" DATA:image/png;name=a.png;BASE64,{quote(cut)}"):
            assert read_base64(written) == data
    assert read_base64(f"data:image/png,{quote(data)}") == data


@pytest.mark.parametrize("before", range(3))
def test_many_escapes_are_undone_in_little_memory(before):
    data = b"a" * before + b"\xff" * 300_000
    url = "data:image/png," + "a" * before + "%ff" * 300_000 + "%"
    tracemalloc.start()
    assert read_base64(url) == data + b"%"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 25_000_000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("abcde", "cut short: 5 digits"),
        ("abc===", "incorrect padding"),
        ("ab=c", "only letters"),
        ("éé==", "only letters"),
        ("https://a.example/b.png", "this is a URL"),
        ("b'/9j/4AAQ'", "how Python shows bytes"),
        ('{"data": "x"}', "other text"),
        ("/9j%2B", "percent-encoded"),
        ("data:image/png;base64", "has a comma"),
        ("data:image/png;base64,%ff%ff", "only letters"),
        ("data:;base64," * 600, "within another"),
        ("data:;base64,data%3A,x", "within another"),
    ],
)
def test_text_that_is_not_base64_is_refused_with_what_it_is(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        read_base64(text)
