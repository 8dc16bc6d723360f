"""The addresses of the blur pipeline."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.errors import Problem
from gateway.http import new_jobs
from gateway.http.new_jobs import MAX_FILES
from gateway.http.uploads import (
    BatchAnswer,
    BatchStatus,
    QueueStatus,
    UploadAnswer,
    UploadStatus,
)
from gateway.jobs.job import Lease, Outcome
from gateway.jobs.objects import ArtifactStore, ObjectMissingError, with_original
from gateway.pipelines.outputs import OBJECTS_HIDDEN, Artifact, Failure
from gateway.worker.retention import Removals
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.house import LEASE_S, PHOTO, House

PDF = b"%PDF-1.7"
RESULT = {"status": "completed", **OBJECTS_HIDDEN}


async def upload(house: House, name: str = "image.png", data: bytes = PHOTO, **fields: str) -> httpx.Response:
    return await house.client.post("/upload", files={"file": (name, data)}, data=fields)


async def batch_upload(house: House, files: Iterable[tuple[str, bytes]], **fields: str) -> httpx.Response:
    return await house.client.post("/batch-upload", files=[("files", file) for file in files], data=fields)


async def status(house: House, job_id: object) -> dict[str, object]:
    answer = (await house.client.get(f"/status/{job_id}")).raise_for_status().json()
    assert UploadStatus.model_validate(answer).model_dump(mode="json", exclude_unset=True) == answer
    return answer


async def leases(house: House) -> Sequence[Lease]:
    """Every job that waits, taken as a worker does."""
    return await house.stores.jobs.claim("tester", 1000, LEASE_S)


async def blur(house: House, lease: Lease) -> None:
    """End the job as a worker does."""
    request = lease.job.request
    photo = await house.stores.photos.get(request.image.location)
    made = with_original(request, photo.data, [Artifact("blurred.png", b"blurred"), Artifact("blur.json", b"{}")])
    store = ArtifactStore(house.stores.locks, house.stores.jobs, house.stores.artifacts)
    stored = await store._write(request, made)
    assert await house.stores.jobs.finish(lease, Outcome(RESULT, stored, timings_ms={"queue": 900.0, "infer": 61.0}))
    await Removals(house.stores).tidy(lease.job, None)


@pytest.fixture(autouse=True)
async def empty(house: House) -> None:
    await house.empty_queue()


async def test_a_photo_is_taken_as_that_pipeline_does(house: House) -> None:
    answer = (await upload(house, "car.png", hide="faces", unknown="field")).raise_for_status().json()
    assert answer == {
        **UploadAnswer.example(),
        "job_id": answer["job_id"],
        "filename": "car.png",
        "file_size": len(PHOTO),
    }
    assert UploadAnswer.model_validate(answer).model_dump(mode="json") == answer
    job = (await house.client.get(f"/v1/jobs/{answer['job_id']}")).json()
    assert (job["pipeline"], job["source"], job["state"]) == ("privacy_blur", "upload:car.png", "queued")
    [lease] = await leases(house)
    assert '"hide":["faces"]' in lease.job.request.parameters


async def test_the_status_tells_where_both_photos_are(house: House) -> None:
    began = int(time.time())
    job_id = (await upload(house)).json()["job_id"]
    waiting = await status(house, job_id)
    assert (waiting["status"], waiting["results"], waiting["error"]) == ("submitted", None, None)
    [lease] = await leases(house)
    assert (await status(house, job_id))["status"] == "processing"
    await blur(house, lease)
    done = await status(house, job_id)
    assert done.keys() == UploadStatus.model_fields.keys()
    assert (done["job_id"], done["status"]) == (job_id, "completed")
    assert began <= int(str(done["updated_at"])) <= time.time()
    results = done["results"]
    assert isinstance(results, dict)
    assert (results["processing_time"], results["blur_metadata"]) == (0.061, RESULT["blur"])
    assert results["detection_metadata"] == {"detections": RESULT["detections"]}
    assert results["processed_image_path"] == path_of(house, f"processed/{job_id}.png")
    assert results["original_image_path"].split("/original/")[1].startswith(f"{job_id}_")
    link = results["processed_image_url"].removeprefix(house.services.settings.local_url)
    assert (await house.client.get(link)).content == b"blurred"
    assert (await house.client.get(f"/v1/jobs/{job_id}/artifacts/original.png")).content == PHOTO


def path_of(house: House, key: str) -> str:
    settings = house.services.settings
    return f"s3://{settings.minio_bucket}/{key}" if house.stores.durable else f"{settings.local_url}/v1/artifacts/{key}"


async def test_a_copy_does_not_tell_where_its_photo_is(house: House) -> None:
    job_id = (await upload(house)).json()["job_id"]
    [lease] = await leases(house)
    await blur(house, lease)
    (original,) = await house.stores.artifacts.keys(f"original/{job_id}")
    secret = original.removeprefix(f"original/{job_id}_").removesuffix(".png")
    assert UUID(secret) not in {UUID(job_id), UUID(int=0)}
    with pytest.raises(ObjectMissingError):
        await house.stores.artifacts.get(f"original/{job_id}.png")


async def test_a_deleted_job_takes_its_objects_along_and_no_other(house: House) -> None:
    first, second = [(await upload(house)).json()["job_id"] for _ in range(2)]
    for lease in await leases(house):
        await blur(house, lease)
    other = f"original/{first}_x/name"
    await house.stores.artifacts.put(other, b"a user called original", "text/plain")
    assert (await house.client.delete(f"/v1/jobs/{first}")).status_code == 204
    assert [key for folder in ("original", "processed") for key in await keys(house, folder, first)] == [other]
    assert [len(await keys(house, folder, second)) for folder in ("original", "processed")] == [1, 2]


async def keys(house: House, folder: str, job_id: str) -> list[str]:
    return await house.stores.artifacts.keys(f"{folder}/{job_id}")


async def test_a_failed_job_says_why(house: House) -> None:
    job_id = (await upload(house)).json()["job_id"]
    [lease] = await leases(house)
    await house.stores.jobs.finish(lease, Outcome(failure=Failure("inference_failed", "the model failed")))
    failed = await status(house, job_id)
    assert (failed["status"], failed["results"]) == ("failed", None)
    assert failed["error"] == {"code": "inference_failed", "detail": "the model failed"}


@pytest.mark.parametrize("path", ["status", "batch"])
async def test_a_job_of_another_service_is_not_found(house: House, path: str) -> None:
    job = await house.submit()
    for unknown in (job["id"], uuid4(), "nonsense"):
        assert_problem(await house.client.get(f"/{path}/{unknown}"), "job_not_found")


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([("file", ("a.pdf", PDF))], "image_unsupported"),
        ([("file", ("a.png", b""))], "image_empty"),
        ([("files", ("a.png", PHOTO))], "invalid_parameters"),
        ([("file", ("a.png", PHOTO)), ("file", ("b.png", PHOTO))], "invalid_parameters"),
        ([("file", ("a.png", PHOTO)), ("style", (None, "glitter"))], "invalid_parameters"),
    ],
)
async def test_refusals(house: House, files: list[tuple[str, tuple[str, bytes]]], code: str) -> None:
    before = await house.stores.photos.keys("")
    assert_problem(await house.client.post("/upload", files=files), code)
    assert await house.stores.photos.keys("") == before


@pytest.mark.parametrize("path", ["/upload", "/batch-upload"])
async def test_only_form_bodies_are_accepted(house: House, path: str) -> None:
    assert_problem(await house.client.post(path, json={}), "unsupported_media_type")


async def test_names_of_files_lose_their_folders_and_what_breaks_lines(house: House) -> None:
    names = {"../../a.png": "a.png", "C:\\photos\\b.png": "b.png", "ä ö.png": "ä ö.png", "x" * 400: "x" * 255}
    for name, kept in names.items():
        assert (await upload(house, name)).json()["filename"] == kept
    body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a\tb\x00.png"\r\n\r\n' + PHOTO + b"\r\n--x--"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert (await house.client.post("/upload", content=body, headers=headers)).json()["filename"] == "ab.png"


async def test_a_batch_as_large_as_the_queue_with_broken_files_beside(house: House) -> None:
    photos = await house.stores.photos.keys("")
    files = [(f"{number}.png", PHOTO[:40] if number % 10 == 3 and number < 20 else PHOTO) for number in range(22)]
    answer = (await batch_upload(house, files, hide="faces")).raise_for_status().json()
    assert BatchAnswer.model_validate(answer).model_dump(mode="json") == answer
    assert answer.keys() == BatchAnswer.model_fields.keys()
    assert (answer["total"], answer["submitted"], answer["failed"]) == (22, 20, 2)
    assert answer["message"] == "20 of 22 images submitted for processing"
    assert [one["filename"] for one in answer["results"]] == [name for name, _ in files]
    waiting = await batch(house, answer["batch_id"])
    assert (waiting["status"], waiting["progress"]) == ("processing", 9)
    assert (waiting["submitted"], waiting["failed"]) == (20, 2)
    for lease in await leases(house):
        assert '"hide":["faces"]' in lease.job.request.parameters
        await blur(house, lease)
    done = await batch(house, answer["batch_id"])
    assert (done["status"], done["progress"], done["completed"], done["failed"]) == ("completed", 100, 20, 2)
    results = done["results"]
    assert isinstance(results, list)
    assert [one["filename"] for one in results] == [name for name, _ in files]
    assert len({one["results"]["processed_image_path"] for one in results if one["results"]}) == 20
    reasons = [one["error"]["code"] for one in results if one["error"]]
    assert reasons == ["image_truncated"] * 2
    assert [one["job_id"] for one in results] == [one["job_id"] for one in answer["results"]]
    assert await house.stores.photos.keys("") == photos


async def batch(house: House, batch_id: object) -> dict[str, object]:
    answer = (await house.client.get(f"/batch/{batch_id}")).raise_for_status().json()
    assert BatchStatus.model_validate(answer).model_dump(mode="json", exclude_unset=True) == answer
    assert answer.keys() == BatchStatus.model_fields.keys()
    return answer


async def test_a_batch_of_only_broken_files_is_not_waited_for(house: House) -> None:
    answer = (await batch_upload(house, [("a.pdf", PDF), ("b.txt", b"text")])).raise_for_status().json()
    assert (answer["status"], answer["submitted"], answer["failed"]) == ("failed", 0, 2)
    assert [one["error"]["code"] for one in answer["results"]] == ["image_unsupported", "image_unsupported"]
    assert (await batch(house, answer["batch_id"]))["status"] == "completed"
    assert (await status(house, answer["results"][0]["job_id"]))["status"] == "failed"


async def test_a_file_that_is_too_large_is_refused_alone(house: House) -> None:
    large = PHOTO + bytes(house.services.settings.max_body_bytes)
    answer = (await batch_upload(house, [("a.png", PHOTO), ("b.png", large), ("c.png", PHOTO)])).json()
    assert [one["status"] for one in answer["results"]] == ["submitted", "failed", "submitted"]
    refused = answer["results"][1]
    assert (refused["error"]["code"], refused["file_size"]) == ("body_too_large", len(large))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"--x--", "invalid_parameters"),
        (b'--x\r\nContent-Disposition: form-data; name="style"\r\n\r\nsolid\r\n--x--', "invalid_parameters"),
        (b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + PHOTO, "invalid_multipart"),
        (
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + PHOTO + b"\r\n--x\r\n"
            b'Content-Disposition: form-data; name="style"\r\n\r\nglitter\r\n--x--',
            "invalid_parameters",
        ),
        (b'--x\r\nContent-Disposition: form-data; name="files"\r\nX: ' + b"x" * 10_000, "invalid_multipart"),
        (
            b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + bytes(70_000) + b"\r\n--x--",
            "invalid_parameters",
        ),
    ],
)
async def test_nothing_of_a_refused_batch_is_stored(house: House, content: bytes, code: str) -> None:
    headers, before = {"Content-Type": "multipart/form-data; boundary=x"}, await house.stores.photos.keys("")
    assert_problem(await house.client.post("/batch-upload", content=content, headers=headers), code)
    assert await house.stores.photos.keys("") == before
    assert (await house.client.get("/queue-status")).json()["queue_size"] == 0


async def test_a_batch_has_an_end(house: House) -> None:
    answer = await batch_upload(house, [("a.pdf", PDF)] * (MAX_FILES + 1))
    assert_problem(answer, "invalid_parameters")


async def test_a_batch_ends_before_its_photos_are_taken_for_left_behind(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_jobs, "LONGEST_BATCH_S", 0.2)
    before, url = await house.stores.photos.keys(""), house.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        b"POST /batch-upload HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b'Content-Length: 9999\r\n\r\n--x\r\nContent-Disposition: form-data; name="files"\r\n\r\n'
        + PHOTO
        + b"\r\n--x\r\n"
    )
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 20)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"Waited 0.2 s for the whole batch." in answer
    assert await house.stores.photos.keys("") == before


async def test_a_full_queue_takes_no_batch(house: House) -> None:
    most = house.services.settings.queue_max_size
    assert (await batch_upload(house, [("a.png", PHOTO)] * most)).is_success
    for answer in (await batch_upload(house, [("a.png", PHOTO)]), await upload(house)):
        assert_problem(answer, "queue_full")
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    full = (await house.client.get("/queue-status")).json()
    assert QueueStatus.model_validate(full).model_dump(mode="json") == full
    assert (full["queue_size"], full["max_queue_size"], full["full"]) == (most, most, True)


async def test_the_statistics_cover_recently_ended_work(house: House) -> None:
    before = (await house.client.get("/stats")).json()
    await upload(house)
    await batch_upload(house, [("a.pdf", PDF)])
    [lease] = await leases(house)
    running = (await house.client.get("/stats")).json()
    assert (running["processing"], running["queue_current"]) == (1, 0)
    await blur(house, lease)
    after = (await house.client.get("/stats")).json()
    assert after["throughput_per_sec"] >= round(2 / 60, 3)
    assert 0 < after["success_rate"] < 1
    assert after["avg_latency_sec"] > 0
    refused = (await house.stores.jobs.recent()).failed
    await batch_upload(house, [("a.pdf", PDF)] * 50)
    later = (await house.client.get("/stats")).json()
    assert (await house.stores.jobs.recent()).failed == refused + 50
    assert later["avg_latency_sec"] == after["avg_latency_sec"], "what was refused at once took no time"
    assert after.keys() == before.keys()


async def test_a_batch_is_postponed_where_photos_cannot_be_stored(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_arguments: object) -> None:
        raise Problem("storage_unavailable", "S3 did not answer.", retry_after=1)

    monkeypatch.setattr(type(house.stores.photos), "put", refuse)
    assert_problem(await batch_upload(house, [("a.png", PHOTO)]), "storage_unavailable")
