"""Worker processes on real Triton, PostgreSQL and S3."""

import asyncio
import base64
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.jobs.job import Callback, Job
from tests.integration.gateway.photos import encode, noise
from tests.integration.worker.conftest import WorkerProcess, desk_of
from tests.integration.worker.desk import Desk, until
from tests.servers import fresh_database, running_postgres
from tests.stack import CHECKOUT, RunningStack, free_ports
from tests.web import Asked, reply, serving, silence

StartWorker = Callable[..., WorkerProcess]

pytestmark = pytest.mark.stack


def mirrored(photo: bytes) -> bytes:
    with Image.open(io.BytesIO(photo)) as image:
        return encode(np.asarray(image.convert("RGB"))[:, ::-1], "PNG")


def code_of(job: Job) -> str | None:
    return job.outcome.failure.code if job.outcome and job.outcome.failure else None


async def in_flight(worker: WorkerProcess, count: int) -> None:
    async def holds() -> bool:
        return (await asyncio.to_thread(worker.health))["in_flight"] == count

    await until(holds, 30, f"{count} jobs in flight")


async def test_a_job_makes_the_masks_that_a_run_makes(
    desk: Desk, start_worker: StartWorker, stack: RunningStack, photo: bytes
) -> None:
    worker = start_worker()
    job = await desk.ended(await desk.submit(photo, mask_types='"upper_body", "dress"'))
    run = await asyncio.to_thread(
        httpx.post,
        f"{stack.url}/v1/run/body_masks",
        files={"image": photo},
        data={"mask_types": "upper_body,dress", "gender": "F"},
        timeout=60,
        trust_env=False,
    )
    expected = {name: base64.b64decode(made["base64"]) for name, made in run.json()["artifacts"].items()}
    assert await desk.artifacts(job) == expected
    assert job.outcome is not None
    assert job.outcome.result["photo"] == run.json()["photo"]
    assert set(job.outcome.timings_ms) == {"queue", "fetch", "cache", "infer", "store"}
    await desk.emptied()
    (line,) = (line for line in worker.log() if line["message"] == "job completed")
    names = {"job_id": str(job.id), "user_id": "", "request_id": job.request.request_id}
    assert {**names, "trace_id": job.request.trace_id, "attempts": 1, "level": "INFO"}.items() <= line.items()


async def test_bad_photos_fail_at_once(desk: Desk, start_worker: StartWorker) -> None:
    codes = {b"not a photo": "image_unsupported", encode(noise(), "JPEG"): "no_person", b"": "image_empty"}
    start_worker()
    jobs = [await desk.submit(photo) for photo in codes]
    ended = [await desk.ended(job) for job in jobs]
    assert [code_of(job) for job in ended] == [*codes.values()]
    assert {(job.state, job.attempts) for job in ended} == {("failed", 1)}
    await desk.emptied()


async def test_a_photo_server_that_fails_briefly_is_asked_again(
    desk: Desk, start_worker: StartWorker, photo: bytes
) -> None:
    answers = [reply(503), reply(503), reply(200, photo)]

    async def stumble(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await answers.pop(0)(asked, writer)

    async with serving(stumble) as web:
        start_worker()
        job = await desk.ended(await desk.submit(url=web.url("/a.png")))
    assert (job.state, job.attempts, len(web.asked)) == ("completed", 3, 3)
    assert job.last_failure is None or job.last_failure.code == "url_unreachable"


async def test_another_worker_finishes_a_killed_workers_jobs(
    desk: Desk, start_worker: StartWorker, photo: bytes
) -> None:
    first = start_worker()
    jobs = [await desk.submit(photo) for _ in range(16)]
    await in_flight(first, 4)
    first.kill()
    assert (await desk.stores.jobs.counts()).running
    start_worker()
    ended = [await desk.ended(job) for job in jobs]
    assert {job.state for job in ended} == {"completed"}
    assert len({artifact for job in ended for artifact in (await desk.artifacts(job)).values()}) == 1
    assert len(await desk.stores.artifacts.keys("")) == 16


async def test_a_database_that_dies_is_waited_for(
    start_worker: StartWorker, worker_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch, photo: bytes
) -> None:
    with running_postgres() as postgres:
        worker_environment["POSTGRES_DSN"] = fresh_database(postgres.address)
        async with desk_of(worker_environment, monkeypatch) as desk:
            worker = start_worker()
            jobs = [await desk.submit(photo) for _ in range(16)]
            await in_flight(worker, 4)
            os.kill(postgres.pid, signal.SIGKILL)
            ended = [await desk.ended(job) for job in jobs]
        assert {job.state for job in ended} == {"completed"}
        assert [line for line in worker.log() if line["level"] == "ERROR"] == []
        await until(lambda: asyncio.to_thread(worker.answers), 30, "every part works again")


async def test_a_stopped_worker_finishes_its_jobs_and_leaves_the_rest(
    desk: Desk, start_worker: StartWorker, photo: bytes
) -> None:
    worker = start_worker()
    jobs = [await desk.submit(photo) for _ in range(16)]
    await in_flight(worker, 4)
    assert await asyncio.to_thread(worker.stop) == 0
    left = [await desk.now(job) for job in jobs]
    assert {job.state for job in left} == {"completed", "queued"}
    assert {job.attempts for job in left if job.state == "queued"} == {0}


async def test_a_worker_without_grace_hands_everything_back(
    desk: Desk, start_worker: StartWorker, photo: bytes
) -> None:
    async with serving(silence) as web:
        worker = start_worker(SHUTDOWN_GRACE_S="0")
        jobs = [await desk.submit(url=web.url()) for _ in range(3)]
        await in_flight(worker, 3)
        inferred = [await desk.submit(photo) for _ in range(16)]
        await in_flight(worker, 4)
        assert await asyncio.to_thread(worker.stop) == 0
    left = [await desk.now(job) for job in jobs]
    assert {(job.state, job.attempts) for job in left} == {("queued", 0)}
    others = [await desk.now(job) for job in inferred]
    assert {(job.state, job.attempts) for job in others} <= {("queued", 0), ("completed", 1)}
    assert (await desk.stores.jobs.counts()).workers == 0


async def test_a_worker_stops_work_on_a_job_that_is_cancelled_meanwhile(desk: Desk, start_worker: StartWorker) -> None:
    async with serving(silence) as web:
        worker = start_worker(FETCH_TIMEOUT_S="120", REQUEST_TIMEOUT_S="120")
        job = await desk.submit(url=web.url())
        await in_flight(worker, 1)
        await desk.stores.jobs.cancel(job.id)
        await in_flight(worker, 0)
    ended = await desk.now(job)
    assert (ended.state, code_of(ended)) == ("failed", "cancelled")


async def test_a_deleted_job_leaves_its_successors_masks_as_they_are(
    desk: Desk, start_worker: StartWorker, photo: bytes
) -> None:
    gate = asyncio.Event()

    async def late(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        await reply(200, photo)(asked, writer)

    async with serving(late) as web:
        worker = start_worker(LEASE_S="60", FETCH_TIMEOUT_S="120", REQUEST_TIMEOUT_S="120")
        deleted = await desk.submit(url=web.url(), user_id="ann", request_id="again")
        await in_flight(worker, 1)
        await desk.stores.jobs.delete(deleted.id)
        job = await desk.ended(await desk.submit(mirrored(photo), user_id="ann", request_id="again"))
        masks = await desk.artifacts(job)
        await in_flight(worker, 1)
        gate.set()
        await in_flight(worker, 0)
    assert await desk.artifacts(job) == masks


async def test_failing_receivers_are_tried_again_and_do_not_delay_others(
    desk: Desk, start_worker: StartWorker, photo: bytes
) -> None:
    failing = [reply(503), reply(204)]

    async def stumble(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await failing.pop(0)(asked, writer)

    async with serving(silence) as hanging, serving(stumble) as stumbling, serving(reply(204)) as good:
        start_worker()
        hooks = tuple(Callback("webhook", web.url("/hook")) for web in (hanging, stumbling, good))
        job = await desk.submit(photo, callbacks=hooks)

        async def delivered(index: int) -> bool:
            found = await desk.stores.outbox.of_job(job.id)
            return bool(found) and found[index].state == "delivered"

        await until(lambda: delivered(2), 30, "the good receiver heard of it")
        await until(lambda: delivered(1), 30, "the stumbling receiver heard of it in the end")
        first, second = stumbling.asked
        assert first.body == second.body == good.asked[0].body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]
        assert (await desk.stores.outbox.of_job(job.id))[0].state == "pending"


async def test_the_health_page(desk: Desk, start_worker: StartWorker) -> None:
    worker = start_worker()
    state = worker.health()
    assert (state["status"], state["capacity"], state["in_flight"]) == ("ok", 2, 0)
    live = await asyncio.to_thread(httpx.get, f"{worker.url}/health/live", trust_env=False)
    assert live.json() == {"status": "ok", "silent": []}
    rebound = {"Host": "evil.example"}
    refused = await asyncio.to_thread(httpx.get, f"{worker.url}/health", headers=rebound, trust_env=False)
    assert refused.status_code == 421

    async def counted() -> bool:
        return (await desk.stores.jobs.counts()).workers == 2

    await until(counted, 30, "the worker's places are counted")


MODULE = (sys.executable, "-m", "gateway.worker")
COMMAND = (Path(sys.executable).with_name("maskwright"), "worker")


@pytest.mark.parametrize(
    ("settings", "command"),
    [({"POSTGRES_DSN": ""}, MODULE), ({"DB_USE_DATABASE": "false"}, COMMAND), ({"MINIO_ENDPOINT": ""}, MODULE)],
)
def test_a_worker_without_its_servers_says_what_to_set(
    worker_environment: dict[str, str], settings: dict[str, str], command: Sequence[str | Path]
) -> None:
    (port,) = free_ports(1)
    environment = {**os.environ, **worker_environment, "WORKER_PORT": str(port), **settings}
    ended = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert b"POSTGRES_DSN" in ended.stderr
    assert b"Traceback" not in ended.stderr
