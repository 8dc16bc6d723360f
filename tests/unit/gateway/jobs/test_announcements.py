import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from gateway.jobs.job import Callback, ImageReference, Job, NewJob, Outcome, StoredArtifact
from gateway.jobs.outbox_messages import message_maker
from gateway.pipelines.outputs import Failure
from gateway.settings import Settings

ID = UUID("6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CAME = datetime(2025, 11, 26, 11, 59, tzinfo=UTC)
ENDED = datetime(2025, 11, 26, 12, tzinfo=UTC)
PARAMETERS = '{"mask_types":["upper_body"],"gender":"M","style":"garment"}'
SETTINGS = Settings(kafka_topic_poison="poison", minio_photo_bucket="photos")
MESSAGE = Callback("message", "mask_output")
DONE = Outcome(
    {"status": "ok", "persons": []},
    (
        StoredArtifact("upper_body_mask.png", "123/req-1/upper_body_mask.png", "image/png", 5),
        StoredArtifact("label_map.png", "123/req-1/label_map.png", "image/png", 5),
    ),
)


def job(*callbacks: Callback, **changes) -> Job:
    request = NewJob(
        id=ID,
        pipeline="body_masks",
        user_id="123",
        request_id="req-1",
        fingerprint=b"f",
        parameters=PARAMETERS,
        image=ImageReference("photo", str(ID)),
        source="kafka:mask_input/0/17",
        trace_id=TRACE,
        gender="male",
        callbacks=callbacks,
    )
    return Job(replace(request, **changes), 1, "running", 6, CAME, CAME, CAME, ENDED, None, None)


def announce(outcome: Outcome, *callbacks: Callback, **changes):
    return message_maker(SETTINGS, lambda _, made: f"http://s3/masks/{made.key}")(job(*callbacks, **changes), outcome)


def test_a_completed_job_is_told_as_the_old_service_did():
    (delivery,) = announce(DONE, MESSAGE)
    assert (delivery.kind, delivery.destination, delivery.key) == ("message", "mask_output", "123")
    assert delivery.headers == {"job_id": str(ID), "traceparent": f"00-{TRACE}-6f1c0e4e0d0e4a57-01"}
    assert json.loads(delivery.body) == {
        "user_id": "123",
        "gender": "M",
        "request_id": "req-1",
        "status": "completed",
        "mask_paths": {"upper_body": "http://s3/masks/123/req-1/upper_body_mask.png"},
        "processed_at": "2025-11-26T12:00:00Z",
    }


def test_a_failed_job_tells_its_code():
    (delivery,) = announce(Outcome(failure=Failure("no_person", "none")), MESSAGE)
    body = json.loads(delivery.body)
    assert (body["status"], body["error"], body["mask_paths"]) == ("failed", "no_person: none", {})


@pytest.mark.parametrize(("given", "told"), [(None, None), ("F", "F"), ("female ", "F"), ("other", "other")])
def test_gender_is_sent_as_given_or_in_its_short_form(given, told):
    (delivery,) = announce(DONE, MESSAGE, gender=given)
    assert json.loads(delivery.body)["gender"] == told


def test_masks_of_several_people_are_told_by_person():
    artifacts = tuple(StoredArtifact(f"person_{n}/dress_mask.png", f"k{n}", "image/png", 5) for n in range(2))
    (delivery,) = announce(Outcome(artifacts=artifacts), MESSAGE)
    assert json.loads(delivery.body)["mask_paths"] == {
        "person_0/dress": "http://s3/masks/k0",
        "person_1/dress": "http://s3/masks/k1",
    }


def test_a_message_without_a_user_is_keyed_by_its_request():
    (delivery,) = announce(DONE, MESSAGE, user_id="")
    assert delivery.key == "req-1"


def test_a_message_whose_job_failed_goes_to_the_poison_topic_too():
    outcome = Outcome(failure=Failure("inference_failed", "dead"))
    told, poison = announce(outcome, MESSAGE)
    assert told.destination == "mask_output"
    assert (poison.destination, poison.key) == ("poison", "123")
    assert poison.headers == {
        **told.headers,
        "reason": "inference_failed",
        "detail": "dead",
        "attempts": "6",
        "origin": "mask_input/0/17",
    }
    assert json.loads(poison.body) == {
        "user_id": "123",
        "request_id": "req-1",
        "gender": "M",
        "mask_types": ["upper_body"],
        "style": "garment",
        "image": {"type": "s3", "data": f"s3://photos/{ID}"},
    }


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (ImageReference("url", "http://a/b"), {"type": "url", "data": "http://a/b"}),
        (ImageReference("s3", "masks/b"), {"type": "s3", "data": "s3://masks/b"}),
    ],
)
def test_a_dead_letter_names_the_photo_as_the_message_did(image, told):
    poison = announce(Outcome(failure=Failure("url_unreachable", "")), image=image)[-1]
    assert json.loads(poison.body)["image"] == told


@pytest.mark.parametrize(
    ("source", "code"),
    [("http", "inference_failed"), ("kafka:mask_input/0/17", "no_person"), ("kafka:a/0/1", "cancelled")],
)
def test_other_failures_make_no_dead_letter(source, code):
    assert announce(Outcome(failure=Failure(code, "")), source=source) == []


def test_a_webhook_is_the_jobs_view():
    (delivery,) = announce(DONE, Callback("webhook", "https://a/b"))
    event = json.loads(delivery.body)
    assert (delivery.kind, delivery.destination) == ("webhook", "https://a/b")
    assert delivery.headers.keys() == {"traceparent"}
    assert (event["type"], event["timestamp"]) == ("job.completed", "2025-11-26T12:00:00Z")
    assert event["data"]["id"] == str(ID)
    assert event["data"]["state"] == "completed"
    assert event["data"]["artifacts"]["upper_body_mask.png"]["url"].startswith("http://s3/masks/")


@pytest.mark.parametrize("tenant", ["", "acme"])
def test_a_webhook_names_its_tenant(tenant):
    (delivery,) = announce(DONE, Callback("webhook", "https://a/b"), tenant=tenant)
    assert (json.loads(delivery.body)["tenant"], delivery.tenant) == (tenant, tenant)


def test_each_event_has_a_webhook_id_of_its_own():
    hooks = [Callback("webhook", "https://a/b"), Callback("webhook", "https://a/c")]
    again = announce(Outcome(failure=Failure("no_person", "")), *hooks)
    ids = [delivery.key for delivery in (*announce(DONE, *hooks), *again)]
    assert len(set(ids)) == 4
    assert [delivery.key for delivery in announce(DONE, *hooks)] == ids[:2]


def test_an_upload_names_the_two_masks_that_there_are():
    artifacts = tuple(
        StoredArtifact(f"{name}_mask.png", f"k/{name}", "image/png", 5)
        for name in ("upper_body", "dress", "lower_body")
    )
    (delivery,) = announce(Outcome(artifacts=artifacts), Callback("upload", "https://assets"), source="process:qwen")
    assert json.loads(delivery.body) == {
        "user_id": "123",
        "job_id": "req-1",
        "provider": "qwen",
        "files": {"upper_body_mask": "k/upper_body", "lower_body_mask": "k/lower_body"},
    }


def test_a_failed_job_has_nothing_to_upload():
    outcome = Outcome(failure=Failure("no_person", ""))
    assert announce(outcome, Callback("upload", "https://assets"), source="http") == []
