"""HTTP and Kafka take the same JSON, and give the same codes."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.intake.requests import job_request
from gateway.intake.submissions import json_submission
from gateway.jobs.store import BadMessage
from gateway.kafka.messages import Message, MessageReader
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from tests.json_values import JSON_VALUES
from tests.unit.gateway.kafka.values import BASE64, ENCODED, PHOTO

SETTINGS = Settings(minio_endpoint="s3:9000", allowed_networks=())
REGISTRY = build_registry(SETTINGS)
READER = MessageReader(SETTINGS, REGISTRY["body_masks"])
GOOD = {"user_id": "u", "request_id": "r", "image": BASE64}

ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le"])
PHOTOS = st.sampled_from(
    [
        *(ENCODED, ENCODED.rstrip("="), ENCODED[:-5], f"b'{ENCODED}'", "", "AAAA"),
        base64.urlsafe_b64encode(PHOTO).decode(),
        base64.encodebytes(PHOTO).decode(),
        f"data:image/png;base64,{ENCODED}",
        "https://a.example/b.png",
        "http://127.0.0.1/b.png",
        "s3://masks/a.png",
    ]
)
IMAGES = PHOTOS | st.tuples(st.sampled_from(["base64", "url", "s3"]), PHOTOS).map(lambda one: {one[0]: one[1]})
CHANGES = st.one_of(
    IMAGES.map(lambda image: {"image": image}),
    *(
        JSON_VALUES.map(lambda value, name=name: {name: value})
        for name in ("image", "user_id", "request_id", "gender", "mask_types", "style", "priority", "include")
    ),
)
TAILS = st.sampled_from(["", " ", "\0", "}", ', "user_id": "u"}', ', "a": NaN}', ', "x": 1e999}'])


def by_http(body: bytes) -> str | None:
    try:
        request = job_request(json_submission(body), None, REGISTRY, SETTINGS)
    except Problem as problem:
        return problem.code
    request.parameters.encode()
    return None


def by_kafka(body: bytes) -> str | None:
    read = READER.read(Message("in", 0, 1, 0, b"k", body))
    if isinstance(read, BadMessage):
        return read.failure.code
    return read.job.outcome.failure.code if read.job.outcome else None


@given(CHANGES, ENCODINGS, TAILS, st.booleans())
def test_any_json_has_the_same_outcome_over_http_and_kafka(change, encoding, tail, ascii_alone):
    members = {**GOOD, **change}
    if members["user_id"] in (None, "", [], [""]):  # a message names its user, a request need not
        members["user_id"] = "u"
    text = json.dumps(members, ensure_ascii=ascii_alone)
    body = (text[:-1] + tail if tail.startswith(",") else text + tail).encode(encoding, "surrogatepass")
    assert by_http(body) == by_kafka(body)


@given(st.binary(max_size=60))
def test_any_bytes_have_the_same_outcome_over_http_and_kafka(body):
    if by_http(body) == "invalid_json":
        assert by_kafka(body) == "invalid_json"
    else:
        assert by_kafka(body) != "invalid_json"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (json.dumps(GOOD).encode("utf-16"), None),
        (b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), None),
        (json.dumps({**GOOD, "image": {"url": f"data:image/png;base64,{ENCODED}"}}).encode(), None),
        (json.dumps({**GOOD, "gender": "\ud800"}).encode(), "invalid_json"),
        (json.dumps({**GOOD, "mask_types": ["\ud800"]}).encode(), "invalid_json"),
        (json.dumps({**GOOD, "user_id": "a\0"}).encode(), "invalid_parameters"),
        (json.dumps({**GOOD, "gender": "a\0"}).encode(), "invalid_parameters"),
        (json.dumps(GOOD).encode()[:-1] + b', "user_id": "v"}', "invalid_json"),
        (json.dumps(json.dumps(GOOD)).encode(), "invalid_json"),
        (json.dumps({**GOOD, "priority": 10**3000}).encode(), "invalid_parameters"),
        (json.dumps({**GOOD, "user_id": 10**3000}).encode(), "invalid_parameters"),
    ],
)
def test_http_and_kafka_refuse_a_photo_with_the_same_code(body, code):
    assert (by_http(body), by_kafka(body)) == (code, code)
