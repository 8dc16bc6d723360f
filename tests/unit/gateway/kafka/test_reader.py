import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given

from gateway.jobs.job import Callback, ImageReference
from gateway.jobs.store import BadMessage
from gateway.kafka.messages import Arrival, Message, MessageReader
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from tests.unit.gateway.kafka.values import ENCODED, GOOD, KEYS, PHOTO, VALUES

SETTINGS = Settings(
    kafka_topic_output="out",
    kafka_topic_poison="bad",
    minio_endpoint="s3:9000",
    max_body_bytes=65536,
    allowed_networks=(),
)
READER = MessageReader(SETTINGS, build_registry(SETTINGS)["body_masks"])


def message(value: bytes | None, key: bytes | None = b"k", offset: int = 17) -> Message:
    return Message("in", 2, offset, 1_700_000_000_000, key, value)


def read(**changes) -> Arrival | BadMessage:
    members = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return READER.read(message(json.dumps(members).encode()))


def arrival(**changes) -> Arrival:
    one = read(**changes)
    assert isinstance(one, Arrival), one
    return one


def failure_code(**changes) -> str:
    one = arrival(**changes)
    assert one.photo is None
    assert one.job.outcome, one
    return one.job.outcome.failure.code


@given(VALUES, KEYS)
def test_any_message_is_a_job_or_poison_and_all_its_text_can_be_kept(value, key):
    one = READER.read(message(value, key))
    if isinstance(one, BadMessage):
        texts = [one.failure.detail, one.outbox_message.key, *one.outbox_message.headers.values()]
        assert one.outbox_message.body == one.value == (value or b"")
    else:
        job = one.job
        json.loads(job.parameters)
        texts = [job.user_id, job.request_id, job.parameters, job.image.location, job.gender or ""]
        texts += [job.outcome.failure.detail] if job.outcome else []
        assert (one.photo is None) == (job.outcome is not None or job.image.kind != "photo")
    for text in texts:
        assert "\0" not in text
        text.encode()


@given(VALUES, KEYS)
def test_a_message_delivered_again_asks_for_the_same(value, key):
    assert READER.read(message(value, key)) == READER.read(message(value, key))


def test_a_good_message():
    one = arrival(timestamp="2020", unknown=1)
    job = one.job
    assert one.photo == PHOTO
    assert (job.user_id, job.request_id, job.gender, job.pipeline) == ("123", "req-1", "M", "body_masks")
    assert (job.source, job.callbacks) == ("kafka:in/2/17", (Callback("message", "out"),))
    assert job.image == ImageReference("photo", str(job.id))
    parameters = json.loads(job.parameters)
    assert (parameters["mask_types"], parameters["gender"]) == (["dress"], "M")


def test_a_number_may_be_a_user_and_a_comma_may_part_the_types():
    job = arrival(user_id=123, mask_types="dress, upper_body").job
    assert job.user_id == "123"
    assert json.loads(job.parameters)["mask_types"] == ["dress", "upper_body"]


@pytest.mark.parametrize("changes", [{"request_id": ...}, {"request_id": None}, {"request_id": ""}])
def test_a_request_without_an_id_gets_one_that_stays(changes):
    job = arrival(**changes).job
    assert job.request_id == job.id.hex


@pytest.mark.parametrize("changes", [{"gender": ...}, {"gender": None}, {"gender": " "}])
def test_no_gender_is_no_gender(changes):
    job = arrival(**changes).job
    assert job.gender is None


def test_a_data_url():
    assert arrival(image={"type": "base64", "data": f"data:image/png;base64,{ENCODED}"}).photo == PHOTO


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({"type": "url", "data": "https://a.example/b.jpg"}, ImageReference("url", "https://a.example/b.jpg")),
        ({"type": "s3", "data": "s3://masks/a/b.jpg"}, ImageReference("s3", "masks/a/b.jpg")),
    ],
)
def test_a_photo_at_another_place_is_a_reference(image, reference):
    one = arrival(image=image)
    assert (one.job.image, one.photo, one.job.outcome) == (reference, None, None)


def test_http_accepts_more_than_the_old_service():
    job = arrival(style="labels", frame="canvas", person="all", include="keypoints", priority=3).job
    parameters = json.loads(job.parameters)
    assert [parameters[name] for name in ("style", "frame", "person", "include")] == [
        "labels",
        "canvas",
        "all",
        ["keypoints"],
    ]
    assert job.priority == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mask_types": ["socks"]}, "invalid_parameters"),
        ({"gender": "a\0b"}, "invalid_parameters"),
        ({"priority": 1000}, "invalid_parameters"),
        ({"image": {"type": "file", "data": "/etc/passwd"}}, "invalid_parameters"),
        ({"image": {"type": "base64", "data": "%%%"}}, "invalid_base64"),
        ({"image": {"type": "base64", "data": ""}}, "image_empty"),
        ({"image": {"type": "base64", "data": "aGVsbG8="}}, "image_unsupported"),
        ({"image": {"type": "base64", "data": base64.b64encode(bytes(65537)).decode()}}, "body_too_large"),
        ({"image": {"type": "url"}}, "missing_image"),
        ({"image": {"type": "url", "data": "http://10.0.0.7/a.jpg"}}, "url_not_allowed"),
        ({"image": {"type": "url", "data": "file:///etc/passwd"}}, "url_not_allowed"),
        ({"image": {"type": "s3", "data": "s3://others/a.jpg"}}, "invalid_parameters"),
    ],
)
def test_a_caller_who_can_be_told_is_told(changes, code):
    assert failure_code(**changes) == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"user_id": ...}, "invalid_parameters"),
        ({"user_id": None}, "invalid_parameters"),
        ({"user_id": ""}, "invalid_parameters"),
        ({"user_id": True}, "invalid_parameters"),
        ({"user_id": 1.5}, "invalid_parameters"),
        ({"user_id": ["1"]}, "invalid_parameters"),
        ({"user_id": "a\0"}, "invalid_parameters"),
        ({"user_id": "x" * 129}, "invalid_parameters"),
        ({"request_id": {}}, "invalid_parameters"),
        ({"image": ...}, "missing_image"),
        ({"image": None}, "missing_image"),
    ],
)
def test_a_message_whose_sender_cannot_be_told_is_a_dead_letter(changes, code):
    one = read(**changes)
    assert isinstance(one, BadMessage)
    assert one.failure.code == code


@pytest.mark.parametrize(
    "value", [None, b"", b"{", b"[]", b"null", b'"text"', b"\xff", b'{"user_id": "\\ud800"}', b"[" * 9999]
)
def test_a_message_that_is_not_a_json_object_is_a_dead_letter(value):
    one = READER.read(message(value))
    assert isinstance(one, BadMessage)
    assert one.failure.code == "invalid_json"


@pytest.mark.parametrize("value", ["A" * 3_000_000, "[]" * 1_500_000, ["x" * 600_000, "y" * 600_000]])
def test_a_message_with_megabytes_of_text_is_a_dead_letter_that_names_the_field(value):
    one = read(mask_types=value)
    assert isinstance(one, BadMessage)
    assert one.failure.code == "field_too_large"
    assert one.failure.detail.startswith("mask_types: ")


@pytest.mark.parametrize("item", [b"[],", b"0,", b'{"":0},'])
def test_a_message_of_too_many_small_items_is_a_dead_letter(item):
    one = READER.read(message(b'{"user_id": "1", "image": "AAAA", "x": [' + item * (500_000 // len(item)) + b"0]}"))
    assert isinstance(one, BadMessage)
    assert one.failure.code == "invalid_json"
    assert one.failure.detail.startswith("more than ")


def test_a_dead_letter_is_forwarded_unchanged_with_its_reason():
    one = READER.read(message(b"{", "clé".encode()))
    assert isinstance(one, BadMessage)
    assert (one.origin, one.key, one.value) == ("in/2/17", "clé".encode(), b"{")
    told = one.outbox_message
    assert (told.kind, told.destination, told.key, told.body) == ("message", "bad", "clé", b"{")
    assert told.headers == {
        "reason": "invalid_json",
        "detail": one.failure.detail,
        "attempts": "1",
        "origin": "in/2/17",
    }


def test_other_content_is_another_fingerprint():
    same = [arrival().job, READER.read(message(json.dumps({**GOOD, "timestamp": 5}).encode(), offset=18)).job]
    other = [arrival(mask_types="upper_body").job, arrival(image={"type": "url", "data": "http://a.example/b"}).job]
    other += [arrival(mask_types="socks").job, arrival(mask_types="boots").job]
    assert len({job.fingerprint for job in same}) == 1
    assert len({job.fingerprint for job in (*same, *other)}) == 5


def test_messages_differ_by_where_they_came_from():
    first, second = message(b"{}"), message(b"{}", offset=18)
    assert first.job_id != second.job_id
    assert replace(first).job_id == first.job_id


def test_jobs_are_the_tenants_and_so_must_their_images_be() -> None:
    settings = SETTINGS.model_copy(update={"kafka_tenant": "acme"})
    reader = MessageReader(settings, build_registry(settings)["body_masks"])
    codes = {}
    for key in ("!acme/1/r/a.png", "!globex/1/r/a.png", "1/r/a.png"):
        value = json.dumps({**GOOD, "image": {"type": "s3", "data": f"s3://{settings.minio_bucket}/{key}"}})
        one = reader.read(message(value.encode()))
        assert isinstance(one, Arrival)
        assert one.job.tenant == "acme"
        codes[key] = one.job.outcome.failure.code if one.job.outcome else None
    assert list(codes.values()) == [None, "invalid_parameters", "invalid_parameters"]
    assert arrival().job.tenant == ""
