"""What callers send beside their photos: bounded, and kept for no longer than the photo where it is large."""

import base64
import json
import os
from uuid import UUID

import httpx
import pytest

from gateway.errors import PROBLEMS
from gateway.jobs.objects import parameters_key, photo_key
from gateway.pipelines.validation import MAX_TEXT_BYTES
from gateway.settings import Settings
from gateway.worker.attempts import read_parameters
from gateway.worker.retention import Removals
from tests.integration.gateway.jobs.conftest import living_house
from tests.integration.gateway.jobs.house import JOBS, PHOTO, House

LABEL_MAP = os.urandom(300_000)
"""A PNG that did not compress; nobody looks at it before it is worked on."""
FACES = {"pipeline": "face_contours"}
SMALL = ("[[],[],", "0,", ",", "&a")
LARGE = 3_000_000


async def submitted(house: House, **fields: str) -> UUID:
    answer = await house.client.post(JOBS, files={"image": PHOTO, "segmentation_map": LABEL_MAP}, data=FACES | fields)
    assert answer.status_code == 202, answer.text
    return UUID(answer.json()["id"])


async def kept(house: House, job_id: UUID) -> set[str]:
    return set(await house.stores.photos.keys(str(job_id)))


async def test_a_label_map_lies_with_the_photo_until_the_job_has_ended(house: House) -> None:
    job_id = await submitted(house)
    assert await kept(house, job_id) == {photo_key(job_id), parameters_key(job_id)}
    lease = await house.begin(job_id)
    request = lease.job.request
    assert (request.parameters, request.parameters_stored) == ("", True)
    parameters = json.loads(await read_parameters(house.stores.photos, request))
    assert base64.b64decode(parameters["segmentation_map"]) == LABEL_MAP
    await Removals(house.stores).tidy(lease.job, None)
    assert await kept(house, job_id) == set()


async def test_a_deleted_job_leaves_no_parameters(house: House) -> None:
    job_id = await submitted(house)
    assert (await house.client.delete(f"{JOBS}/{job_id}")).status_code == 204
    assert await kept(house, job_id) == set()


async def test_the_same_request_again_keeps_its_parameters_once(house: House) -> None:
    job_id = await submitted(house, request_id="again")
    answer = await house.client.post(
        JOBS, files={"image": PHOTO, "segmentation_map": LABEL_MAP}, data=FACES | {"request_id": "again"}
    )
    assert (answer.status_code, answer.json()["id"]) == (200, str(job_id))
    named = [key for key in await house.stores.photos.keys("") if key.startswith(str(job_id))]
    assert set(named) == {photo_key(job_id), parameters_key(job_id)}


async def test_a_photo_is_removed_when_its_parameters_do_not_fit(settings: Settings) -> None:
    if settings.db_use_database:
        pytest.skip("S3 has no end")
    async for house in living_house(settings):
        await house.stores.photos.put("others", bytes(settings.memory_store_bytes * 3 // 4 - 10_000), "image/png")
        answer = await house.client.post(JOBS, files={"image": PHOTO, "segmentation_map": LABEL_MAP}, data=FACES)
        assert answer.json()["code"] == "queue_full"
        assert await house.stores.photos.keys("") == ["others"]


async def test_small_parameters_stay_with_the_job(house: House) -> None:
    answer = await house.client.post(JOBS, files={"image": PHOTO}, data=FACES | {"landmarks": "1,2\n" * 478})
    job_id = UUID(answer.json()["id"])
    assert await kept(house, job_id) == {photo_key(job_id)}
    assert "1,2" in (await house.begin(job_id)).job.request.parameters


async def test_memory_keeps_less_with_a_job_than_a_database(house: House) -> None:
    answer = await house.client.post(
        JOBS, files={"image": PHOTO}, data=FACES | {"landmarks": "1.234567,2.345678\n" * 478}
    )
    job_id = UUID(answer.json()["id"])
    stored = () if house.stores.durable else (parameters_key(job_id),)
    assert await kept(house, job_id) == {photo_key(job_id), *stored}


@pytest.mark.parametrize("small", SMALL)
@pytest.mark.parametrize(
    ("path", "photo", "field", "more"),
    [
        (JOBS, "image", "segmentation_map", FACES),
        ("/v1/run/privacy_blur", "image", "objects", {}),
        ("/v1/run/face_contours", "file", "landmarks", {}),
        ("/api/v1/frontal/crop/submit", "image", "no_such_field", {}),
        ("/process", "user_image", "provider", {"user_id": "u", "job_id": "j"}),
        ("/upload", "file", "keep", {}),
        ("/batch-upload", "files", "hide", {}),
    ],
)
async def test_megabytes_in_a_form_are_refused_by_name(
    house: House, path: str, photo: str, field: str, more: dict[str, str], small: str
) -> None:
    data = {**more, field: small * (LARGE // len(small))}
    assert_too_large(await house.client.post(path, files={photo: ("a.png", PHOTO)}, data=data), field)


@pytest.mark.parametrize("path", [JOBS, "/v1/run/privacy_blur", "/api/v1/frontal/crop/submit"])
@pytest.mark.parametrize("value", ["[" + "[]," * (LARGE // 3) + "0]", "[" + "0," * LARGE + "0]", '"' + "&a" * LARGE + '"'])  # fmt: skip  # noqa: E501
async def test_megabytes_in_json_are_refused_by_name(house: House, path: str, value: str) -> None:
    body = f'{{"image": "{base64.b64encode(PHOTO).decode()}", "objects": {value}}}'
    answer = await house.client.post(path, content=body, headers={"content-type": "application/json"})
    assert_too_large(answer, "objects")


def assert_too_large(answer: httpx.Response, field: str) -> None:
    problem = answer.json()
    assert (problem["code"], answer.status_code) == ("field_too_large", PROBLEMS["field_too_large"].status)
    assert problem["detail"].startswith(f"{field}: ")
    assert f"at most {MAX_TEXT_BYTES} are accepted" in problem["detail"]
    assert len(answer.content) < 1000


async def test_a_field_of_the_address_has_the_same_bounds(house: House) -> None:
    answer = await house.client.post(f"{JOBS}?pipeline=privacy_blur&hide={'a,' * 20_000}", files={"image": PHOTO})
    assert (answer.json()["code"], answer.json()["detail"]) == (
        "invalid_parameters",
        "hide: 40000 characters; at most 16384 are accepted",
    )


async def test_parameters_of_a_batch_are_kept_with_each_file_and_so_are_small(house: House) -> None:
    objects = json.dumps([{"box": [0, 0, 1, 1]}] * 900)
    answer = await house.client.post("/batch-upload", files=[("files", ("a.png", PHOTO))], data={"objects": objects})
    assert answer.json()["code"] == "field_too_large"


async def test_a_page_of_jobs_says_nothing_of_their_parameters(house: House) -> None:
    await submitted(house)
    answer = await house.client.get(f"{JOBS}?limit=200")
    assert len(answer.content) < 2000 * len(answer.json()["jobs"])
