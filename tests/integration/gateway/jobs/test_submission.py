"""`POST /v1/jobs`: ways in, identity, refusals and what they leave behind."""

import asyncio
import base64
import hashlib
import json
from uuid import UUID, uuid4

import pytest

from gateway.jobs.job import Callback, ImageReference
from gateway.jobs.objects import photo_key
from gateway.jobs.view import JobView
from gateway.pipelines.registry import parameters_json
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import FORM, JOBS, PHOTO, House

TEXT = base64.b64encode(PHOTO).decode()
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def fresh() -> str:
    return uuid4().hex


async def test_a_job_is_answered_with_its_address_and_view(house: House) -> None:
    request_id = fresh()
    fields = {"user_id": "u1", "request_id": request_id, "priority": "3", "mask_types": "dress", "gender": "male"}
    headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    answer = await house.client.post(JOBS, files=FORM, data=fields, headers=headers)
    view = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{view['id']}")
    assert JobView.model_validate(view).model_dump(mode="json", exclude_unset=True) == view
    assert (view["state"], view["user_id"], view["request_id"], view["priority"]) == ("queued", "u1", request_id, 3)
    assert (view["source"], view["trace_id"], view["attempts"]) == ("http", TRACE, 0)
    job = await house.stores.jobs.get(UUID(view["id"]))
    assert json.loads(await house.stores.jobs.parameters(job.id))["mask_types"] == ["dress"]
    assert job.request.gender == "male"
    assert (await house.stores.photos.get(photo_key(job.id))).data == PHOTO
    assert (await house.client.get(answer.headers["location"])).json() == view


@pytest.mark.parametrize(
    "sent",
    [
        {"files": FORM},
        {"files": {"user_image": FORM["image"]}},
        {"json": {"image": TEXT}},
        {"json": {"image": {"base64": TEXT}}},
        {"json": {"image": {"type": "base64", "data": f"data:image/png;base64,{TEXT}"}}},
        {"content": PHOTO, "headers": {"content-type": "image/png"}},
    ],
)
async def test_every_way_to_send_a_photo_keeps_the_photo(house: House, sent: dict[str, object]) -> None:
    answer = await house.client.post(JOBS, **sent)
    assert answer.status_code == 202, answer.text
    assert (await house.stores.photos.get(answer.json()["id"])).data == PHOTO
    await house.empty_queue()


URL = "https://example.com/a.jpg"


@pytest.mark.parametrize(
    "sent",
    [
        {"json": {"image": {"url": URL}}},
        {"json": {"image": {"type": "url", "data": URL}}},
        {"files": {"url": (None, URL)}},
    ],
)
async def test_every_way_to_say_where_a_photo_is(house: House, sent: dict[str, object]) -> None:
    answer = await house.client.post(JOBS, **sent)
    assert answer.status_code == 202, answer.text
    job = await house.stores.jobs.get(UUID(answer.json()["id"]))
    assert job.request.image == ImageReference("url", URL)


async def test_an_object_of_s3_is_named_where_there_is_s3(house: House) -> None:
    answer = await house.client.post(JOBS, json={"image": {"s3": "photos/a.jpg"}})
    if not house.stores.durable:
        assert_problem(answer, "invalid_parameters")
        return
    job = await house.stores.jobs.get(UUID(answer.json()["id"]))
    assert job.request.image == ImageReference("s3", f"{house.services.settings.minio_bucket}/photos/a.jpg")


async def test_the_same_request_again_is_the_same_job(house: House) -> None:
    fields = {"user_id": "u2", "request_id": fresh()}
    first = await house.client.post(JOBS, files=FORM, data=fields)
    again = await house.client.post(JOBS, json={"image": TEXT, **fields})
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert again.json() == first.json()


async def test_the_same_request_many_times_at_once_is_one_job_with_one_photo(house: House) -> None:
    key, before = fresh(), set(await house.stores.photos.keys(""))
    sent = [house.client.post(JOBS, files=FORM, headers={"Idempotency-Key": key}) for _ in range(8)]
    answers = await asyncio.gather(*sent)
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    (job_id,) = {answer.json()["id"] for answer in answers}
    assert set(await house.stores.photos.keys("")) - before == {job_id}


async def test_the_photo_of_a_job_that_was_not_made_is_removed(house: House) -> None:
    fields = {"request_id": fresh()}
    await house.client.post(JOBS, files=FORM, data=fields)
    before = set(await house.stores.photos.keys(""))
    await house.client.post(JOBS, files=FORM, data=fields)
    await house.client.post(JOBS, files=FORM, data={**fields, "style": "labels"})
    assert set(await house.stores.photos.keys("")) == before


@pytest.mark.parametrize("change", [{"style": "labels"}, {"callback_url": "https://example.com/hook"}])
async def test_other_content_under_the_same_id_is_refused(house: House, change: dict[str, str]) -> None:
    fields = {"user_id": "u3", "request_id": fresh()}
    await house.client.post(JOBS, files=FORM, data=fields)
    assert_problem(await house.client.post(JOBS, files=FORM, data={**fields, **change}), "idempotency_conflict")


async def test_one_id_of_two_users_is_two_jobs(house: House) -> None:
    request_id = fresh()
    views = [await house.submit(user_id=user, request_id=request_id) for user in ("u4", "u5", "")]
    assert len({str(view["id"]) for view in views}) == 3


@pytest.mark.parametrize("quoted", [False, True])
async def test_the_idempotency_key_is_the_request_id(house: House, quoted: bool) -> None:  # noqa: FBT001
    key = fresh()
    headers = {"Idempotency-Key": f'"{key}"' if quoted else key}
    view = (await house.client.post(JOBS, files=FORM, headers=headers)).json()
    assert view["request_id"] == key
    both = await house.client.post(JOBS, files=FORM, headers=headers, data={"request_id": key})
    assert both.json()["id"] == view["id"]
    other = await house.client.post(JOBS, files=FORM, headers=headers, data={"request_id": "other"})
    assert_problem(other, "invalid_parameters")


async def test_a_callback_is_kept_with_the_job(house: House) -> None:
    view = await house.submit(callback_url="https://example.com/hook")
    job = await house.stores.jobs.get(UUID(str(view["id"])))
    assert job.request.callbacks == (Callback("webhook", "https://example.com/hook"),)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"pipeline": "masks"}, "pipeline_not_found"),
        ({"style": "plain"}, "invalid_parameters"),
        ({"nothing": "1"}, "invalid_parameters"),
        ({"priority": "11"}, "invalid_parameters"),
        ({"user_id": "x" * 129}, "invalid_parameters"),
        ({"request_id": "a\nb"}, "invalid_parameters"),
        ({"user_id": "a\0b"}, "invalid_parameters"),
        ({"gender": "a\0b"}, "invalid_parameters"),
        ({"image": {"type": "ftp", "data": "x"}}, "invalid_parameters"),
        ({"image": {"url": "http://127.0.0.1/a.jpg"}}, "url_not_allowed"),
        ({"image": {"url": "file:///etc/passwd"}}, "url_not_allowed"),
        ({"image": {"url": f"https://example.com/{'a' * 3000}"}}, "invalid_parameters"),
        ({"callback_url": "http://169.254.169.254/"}, "url_not_allowed"),
        ({"image": ""}, "image_empty"),
        ({"image": "JVBERi0xLjc="}, "image_unsupported"),
        ({"image": None}, "missing_image"),
    ],
)
async def test_refusals_leave_nothing_behind(house: House, fields: dict[str, object], code: str) -> None:
    before = await house.stores.jobs.counts(), set(await house.stores.photos.keys(""))
    assert_problem(await house.client.post(JOBS, json={"image": TEXT, **fields}), code)
    assert (await house.stores.jobs.counts(), set(await house.stores.photos.keys(""))) == before


async def test_a_number_may_name_a_user(house: House) -> None:
    answer = await house.client.post(JOBS, json={"image": TEXT, "user_id": 123})
    assert answer.json()["user_id"] == "123"


async def test_a_full_queue_refuses_until_there_is_room(house: House) -> None:
    await house.empty_queue()
    for number in range(house.services.settings.queue_max_size):
        view = await house.submit(request_id=f"full-{number}", user_id="full")
    again = await house.client.post(JOBS, files=FORM, data={"request_id": view["request_id"], "user_id": "full"})
    assert (again.status_code, again.json()["id"]) == (200, view["id"])
    refused = await house.client.post(JOBS, files=FORM)
    assert_problem(refused, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    await house.client.post(f"{JOBS}/{view['id']}/cancel")
    await house.submit()
    await house.empty_queue()


async def test_defaults_are_those_of_the_pipeline(house: House) -> None:
    pipeline = house.services.registry["body_masks"]
    view = await house.submit()
    job = await house.stores.jobs.get(UUID(str(view["id"])))
    assert json.loads(await house.stores.jobs.parameters(job.id)) == json.loads(parameters_json(pipeline, {}))
    assert len(job.request.fingerprint) == hashlib.sha256().digest_size
