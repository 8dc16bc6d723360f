"""The cache through the whole stack: real Triton, PostgreSQL, S3 and a worker."""

import asyncio
import base64
import io
import json
import time
import uuid
from collections.abc import Callable

import asyncpg
import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.jobs.job import FINISHED
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.photos import encode, flat
from tests.stack import RunningStack, eventually

RUN = "/v1/run/body_masks"
FACES = "/v1/run/face_contours"
CALLERS = 100

pytestmark = pytest.mark.stack


@pytest.fixture
def fresh(person: bytes) -> bytes:
    """The photo of one person, with a pixel that no other test has seen."""
    image = Image.open(io.BytesIO(person)).convert("RGB")
    image.putpixel((0, 0), tuple(uuid.uuid4().bytes[:3]))
    image.putpixel((1, 0), tuple(uuid.uuid4().bytes[:3]))
    return encode(np.asarray(image), "PNG")


def was_computed(answer: httpx.Response) -> bool:
    """Whether Triton was asked for it."""
    return "infer;dur=" in answer.headers["server-timing"]


def ended(client: httpx.Client, job: dict[str, object]) -> dict[str, object]:
    """The job, once it has its outcome."""
    address = f"/v1/jobs/{job['id']}"
    eventually(lambda: client.get(address).json()["state"] in FINISHED, 60, f"job {job['id']} ends")
    return client.get(address).json()


def artifacts(job: dict[str, object]) -> dict[str, bytes]:
    """What a job made, read by its links."""
    return {name: httpx.get(made["url"], trust_env=False).content for name, made in job["artifacts"].items()}


def test_a_run_again_is_served_the_same(client: httpx.Client, fresh: bytes) -> None:
    answers = [client.post(RUN, files={"image": fresh}, data={"mask_types": "dress"}) for _ in range(3)]
    assert len({answer.content for answer in answers}) == 1
    assert [was_computed(answer) for answer in answers] == [True, False, False]
    statuses = [answer.headers["cache-status"] for answer in answers]
    assert statuses == ["Maskwright; fwd=miss", "Maskwright; hit", "Maskwright; hit"]
    other = client.post(RUN, files={"image": fresh}, data={"mask_types": "dress", "gender": "M"})
    assert other.headers["cache-status"] == "Maskwright; fwd=miss"


def test_a_repeated_refusal_is_the_same_refusal(client: httpx.Client) -> None:
    nobody = encode(flat(int(time.time()) % 250, 200 + int(time.time()) % 97), "PNG")
    for status in ("Maskwright; fwd=miss", "Maskwright; hit"):
        answer = client.post(RUN, files={"image": nobody})
        assert_problem(answer, "no_person")
        assert answer.headers["cache-status"] == status
    job = client.post("/v1/jobs", files={"image": nobody}).json()
    assert (job["state"], job["error"]["code"]) == ("failed", "no_person")


def test_a_job_with_a_cached_result_is_completed_at_once(client: httpx.Client, fresh: bytes) -> None:
    fields = {"mask_types": "dress,upper_body", "user_id": f"cache-{uuid.uuid4().hex}"}
    first = ended(client, client.post("/v1/jobs", files={"image": fresh}, data=fields).json())
    answer = client.post("/v1/jobs", files={"image": fresh}, data=fields)
    second = answer.json()
    assert (answer.status_code, second["state"], second["cached"]) == (202, "completed", True)
    assert "cached" not in first
    assert second["id"] != first["id"]
    assert {name: made["url"] for name, made in second["artifacts"].items()}.keys() == first["artifacts"].keys()
    assert artifacts(second) == artifacts(first)
    assert second["photo"] == first["photo"]
    run = client.post(RUN, files={"image": fresh}, data={"mask_types": "dress,upper_body"})
    assert run.headers["cache-status"] == "Maskwright; hit"
    assert not was_computed(run)
    assert client.delete(f"/v1/jobs/{first['id']}").status_code == 204
    assert artifacts(ended(client, second)).keys() == {"dress_mask.png", "upper_body_mask.png"}


def test_a_job_with_a_cached_result_waits_for_the_users_earlier_jobs(client: httpx.Client, fresh: bytes) -> None:
    user = {"user_id": f"cache-{uuid.uuid4().hex}"}
    client.post(RUN, files={"image": fresh}, data={"mask_types": "dress"}).raise_for_status()
    wanted = [*({"mask_types": "dress", "gender": f"new-{number}"} for number in range(4)), {"mask_types": "dress"}]
    jobs = [client.post("/v1/jobs", files={"image": fresh}, data={**user, **fields}).json() for fields in wanted]
    done = [ended(client, job) for job in jobs]
    assert done[-1]["cached"]
    times = [job["finished_at"] for job in done]
    assert times == sorted(times)


def test_a_request_that_came_before_keeps_its_masks(client: httpx.Client, fresh: bytes) -> None:
    """Another photo under the same request id is refused, though its result is known; the masks stay the first's."""
    named = {"mask_types": "dress", "user_id": "cache", "request_id": uuid.uuid4().hex}
    first = ended(client, client.post("/v1/jobs", files={"image": fresh}, data=named).json())
    masks = artifacts(first)
    larger = encode(np.asarray(Image.open(io.BytesIO(fresh)).resize((300, 300))), "PNG")
    client.post(RUN, files={"image": larger}, data={"mask_types": "dress"}).raise_for_status()
    assert_problem(client.post("/v1/jobs", files={"image": larger}, data=named), "idempotency_conflict")
    again = client.post("/v1/jobs", files={"image": fresh}, data=named)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert artifacts(first) == masks


async def test_a_hundred_equal_runs_are_one_computation(stack: RunningStack, fresh: bytes) -> None:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60, trust_env=False) as client:
        runs = (client.post(RUN, files={"image": fresh}, data={"mask_types": "dress"}) for _ in range(CALLERS))
        answers = await asyncio.gather(*runs)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert sum(map(was_computed, answers)) == 1


async def test_a_hundred_equal_jobs_are_one_computation(
    stack: RunningStack, client: httpx.Client, fresh: bytes
) -> None:
    """By two users and by none, each with a request of its own."""
    forms = [{"mask_types": "dress", "user_id": user} for user in ("", "cache-1", "cache-2", "")] * (CALLERS // 4)
    async with httpx.AsyncClient(base_url=stack.url, timeout=60, trust_env=False) as callers:
        posts = (callers.post("/v1/jobs", files={"image": fresh}, data=form) for form in forms)
        jobs = [answer.raise_for_status().json() for answer in await asyncio.gather(*posts)]
    done = [ended(client, job) for job in jobs]
    assert {job["state"] for job in done} == {"completed"}
    assert len({content for job in done for content in artifacts(job).values()}) == 1
    assert sum(job.get("cached", False) for job in done) == CALLERS - 1
    assert sum("infer" in job["timings_ms"] for job in done) == 1


async def test_cache_statistics_are_written_to_the_users_tables(
    stack: RunningStack, client: httpx.Client, fresh: bytes
) -> None:
    connection = await asyncpg.connect(stack.addresses()["POSTGRES_DSN"])
    try:
        before = await connection.fetchrow("SELECT * FROM cache_performance WHERE date = current_date")
        for _ in range(3):
            await asyncio.to_thread(client.post, RUN, files={"image": fresh}, data={"mask_types": "dress"})
        query = "SELECT cache_hits FROM task_results ORDER BY submitted_at DESC LIMIT 1"

        async def noted() -> bool:
            return await connection.fetchval(query) == 2

        end = time.monotonic() + 20
        while not await noted():
            assert time.monotonic() < end, "two hits are noted"
            await asyncio.sleep(0.05)
        after = await connection.fetchrow("SELECT * FROM cache_performance WHERE date = current_date")
    finally:
        await connection.close()
    start = before or {"total_requests": 0, "cache_hits": 0}
    assert after["total_requests"] - start["total_requests"] == 3
    assert after["cache_hits"] - start["cache_hits"] == 2


def test_near_duplicate_faces_do_not_share(
    gateway_with: Callable[..., str], client: httpx.Client, fresh: bytes
) -> None:
    """One photo, hashes as near as they can be: only the same face, within the tolerance, has the same contours."""
    url = gateway_with(DB_USE_DATABASE="false", SIMILARITY_BITS="15", SIMILARITY_TOLERANCE="0.002")
    found = client.post(
        FACES, files={"image": fresh}, data={"include": "landmarks"}, headers={"Accept": "application/json"}
    )
    points = landmarks_of(found.json())
    extent = float(np.hypot(*np.ptp(points, axis=0)))
    jpeg = encode(np.asarray(Image.open(io.BytesIO(fresh))), "JPEG", quality=95)

    def drawn(photo: bytes, faces: np.ndarray, **fields: str) -> tuple[str, bytes]:
        text = json.dumps([{"x": float(x), "y": float(y)} for x, y in faces])
        answer = httpx.post(
            f"{url}{FACES}",
            files={"image": photo},
            data={"landmarks": text, **fields},
            headers={"Accept": "image/svg+xml"},
            timeout=60,
            trust_env=False,
        )
        assert answer.status_code == 200, answer.text
        return answer.headers["cache-status"].removeprefix("Maskwright; "), answer.content

    first = drawn(fresh, points)
    assert first[0] == "fwd=miss"
    assert drawn(jpeg, points) == ("hit", first[1])
    assert drawn(jpeg, points + 0.001 * extent) == ("hit", first[1])
    nose = points.copy()
    nose[2] += (0, 0.01 * extent)
    for near in (nose, (points - points.mean(0)) * 1.01 + points.mean(0)):
        status, svg = drawn(jpeg, near)
        assert status == "fwd=miss"
        assert svg != first[1]
    assert drawn(jpeg, points + 0.003 * extent)[0] == "fwd=miss"
    assert drawn(jpeg, points, embed_image="true")[0] == "fwd=miss"
    assert drawn(fresh, points, embed_image="true")[0] == "fwd=miss"


def landmarks_of(answer: dict[str, object]) -> np.ndarray:
    """Those that were found, in pixels."""
    text = base64.b64decode(answer["artifacts"]["landmarks.json"]["base64"])
    [face] = json.loads(text)["landmarks"]
    return np.array([[point["x"], point["y"]] for point in face])
