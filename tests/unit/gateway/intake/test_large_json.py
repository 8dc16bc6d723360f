import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.intake import submissions as module
from gateway.intake.images import json_image
from gateway.intake.submissions import json_submission, large_json

PHOTOS = st.binary(min_size=20, max_size=400)
REST = st.dictionaries(st.sampled_from(["a", "gender", "segmentation_map", 'x"'] ), st.text(max_size=10) | st.integers(), max_size=3)  # fmt: skip  # noqa: E501
WAYS = st.sampled_from(
    [
        lambda text: text,
        lambda text: {"base64": text},
        lambda text: {"type": "base64", "data": text},
        lambda text: {"data": f"data:image/png;base64,{text}", "type": "base64"},
        lambda text: f"data:image/png;base64,{text}",
    ]
)
TEXTS = st.sampled_from([base64.b64encode, base64.encodebytes, lambda photo: base64.b64encode(photo).rstrip(b"=")])
WRITERS = st.sampled_from(
    [
        json.dumps,
        lambda value: json.dumps(value, indent=2),
        lambda value: json.dumps(value, separators=(",", ":")),
        lambda value: json.dumps(value).replace("/", "\\/"),
        lambda value: "\ufeff" + json.dumps(value),
    ]
)


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGE", 10)
    monkeypatch.setattr(module, "_PIECE", 16)


def slowly(body: bytes) -> object:
    """What is read without any haste."""
    members = json.loads(body.decode("utf-8-sig"))
    return json_image(members.pop("image", None)), members


def read(body: bytes) -> object:
    submission = json_submission(body)
    return submission.image, submission.fields


def outcome(reader, body: bytes) -> object:
    try:
        return reader(body)
    except Problem as problem:
        return problem.code
    except (ValueError, AttributeError):
        return "invalid_json"


@given(PHOTOS, REST, WAYS, TEXTS, WRITERS, st.booleans())
def test_a_large_body_says_the_same_as_a_small_one(photo, rest, way, text, write, first: bool) -> None:  # noqa: FBT001
    image = {"image": way(text(photo).decode())}
    body = write({**image, **rest} if first else {**rest, **image}).encode()
    assert outcome(read, body) == outcome(slowly, body)


@given(PHOTOS, st.data())
def test_the_fast_parser_agrees_with_the_slow_one_on_any_change(photo: bytes, data: st.DataObject) -> None:
    body = bytearray(json.dumps({"image": base64.b64encode(photo).decode(), "gender": "m"}).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(body) - 1))
        body[place : place + data.draw(st.integers(0, 1))] = data.draw(st.sampled_from([b'"', b"\\", b"=", b",", b":", b" ", b"-", b"\\/", b"\xff", b"}"]))  # fmt: skip  # noqa: E501
    assert outcome(read, bytes(body)) == outcome(slowly, bytes(body))


@pytest.mark.parametrize("escaped", [False, True])
def test_the_photo_is_taken_out_of_its_body(escaped: bool) -> None:  # noqa: FBT001
    photo = bytes(range(256)) * 3
    text = json.dumps({"gender": "m", "image": {"base64": base64.b64encode(photo).decode()}})
    large = large_json((text.replace("/", "\\/") if escaped else text).encode())
    assert large is not None
    assert json.loads(large.rest) == {"gender": "m", "image": {"base64": large.token}}
    assert large.put_back({"base64": large.token}) == json.loads(text)["image"]
