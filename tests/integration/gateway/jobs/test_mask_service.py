"""The addresses of the HTTP mask service, and of whoever watches the gateway."""

import json
from uuid import uuid4

import pytest

from gateway.http.health import Health
from gateway.http.mask_service import Stats
from gateway.jobs.job import Callback
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import PHOTO, House, until

PHOTO_FIELD = {"user_image": ("image.jpg", PHOTO)}


async def process(house: House, **fields: str) -> dict[str, object]:
    answer = await house.client.post("/process", files=PHOTO_FIELD, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_job_is_accepted_as_that_service_does(house: House) -> None:
    job_id = uuid4().hex
    answer = await process(house, user_id="user123", job_id=job_id, provider="qwen")
    assert answer == {
        "status": "accepted",
        "queued": True,
        "job_id": job_id,
        "message": "Job added to Qwen mask queue",
    }
    (view,) = (await house.client.get("/v1/jobs", params={"request_id": job_id})).json()["jobs"]
    assert (view["user_id"], view["source"]) == ("user123", "process:qwen")
    job = await house.begin(view["id"])
    parameters = json.loads(job.job.request.parameters)
    assert (parameters["mask_types"], parameters["style"]) == (["upper_body", "lower_body"], "labels")
    assert job.job.request.callbacks == (Callback("upload", house.services.settings.mask_asset_url),)


async def test_the_same_job_again_is_accepted_and_stays_one(house: House) -> None:
    job_id = uuid4().hex
    answers = [await process(house, user_id="u", job_id=job_id) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len((await house.client.get("/v1/jobs", params={"request_id": job_id})).json()["jobs"]) == 1


async def test_another_provider_is_passed_on(house: House) -> None:
    job_id = uuid4().hex
    await process(house, user_id="u", job_id=job_id, provider="other", unknown="field")
    (view,) = (await house.client.get("/v1/jobs", params={"request_id": job_id})).json()["jobs"]
    assert view["source"] == "process:other"


@pytest.mark.parametrize("missing", ["user_image", "user_id", "job_id"])
async def test_every_field_is_needed(house: House, missing: str) -> None:
    parts = {"user_image": ("image.jpg", PHOTO), "user_id": (None, "u"), "job_id": (None, "j")}
    answer = await house.client.post("/process", files={name: part for name, part in parts.items() if name != missing})
    assert_problem(answer, "invalid_parameters")
    assert answer.json()["detail"].startswith(f"{missing}: ")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"user_image": ("a.pdf", b"%PDF-1.7")}, "image_unsupported"),
        ({"job_id": (None, "a\nb")}, "invalid_parameters"),
        ({"provider": (None, "a\0b")}, "invalid_parameters"),
        ({"user_id": (None, "u" * 200)}, "invalid_parameters"),
    ],
)
async def test_refusals(house: House, fields: dict[str, object], code: str) -> None:
    parts = {"user_image": ("image.jpg", PHOTO), "user_id": (None, "u"), "job_id": (None, uuid4().hex), **fields}
    assert_problem(await house.client.post("/process", files=parts), code)


async def test_only_form_bodies_are_accepted(house: House) -> None:
    assert_problem(await house.client.post("/process", json={"user_id": "u"}), "unsupported_media_type")


MASK_SERVICE = ["queue_max", "queue_current", "workers", "jobs_processed", "uptime_sec"]
BLUR_PIPELINE = ["processing", "throughput_per_sec", "success_rate", "avg_latency_sec"]


async def test_stats_have_the_fields_of_both_services(house: House) -> None:
    await house.empty_queue()
    finished = len((await house.client.get("/v1/jobs", params={"limit": "200"})).json()["jobs"])
    await process(house, user_id="u", job_id=uuid4().hex)
    before = (await house.client.get("/stats")).raise_for_status().json()
    assert list(before) == MASK_SERVICE + BLUR_PIPELINE
    assert Stats.model_validate(before).model_dump(mode="json") == before
    assert (before["queue_max"], before["queue_current"]) == (house.services.settings.queue_max_size, 1)
    await house.empty_queue()

    async def counted() -> bool:
        after = (await house.client.get("/stats")).json()
        return (after["queue_current"], after["jobs_processed"]) == (0, finished + 1)

    await until(counted, "the job counts as processed")


async def test_health_reports_the_stores(house: House) -> None:
    document = (await house.client.get("/health")).raise_for_status().json()
    assert Health.model_validate(document).model_dump(mode="json") == document
    stores = document["stores"]
    assert (stores["durable"], stores["database"], stores["buckets"]) == (house.stores.durable, True, True)
    assert (await house.client.get("/health/ready")).status_code == 503  # nothing is at Triton's address
