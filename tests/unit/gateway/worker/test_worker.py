"""A whole worker in one process, on stores in memory and before a Triton that is not there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from gateway.metrics.instruments import Instruments
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.triton import connect
from gateway.worker.worker import Worker, WorkerPage
from tests.unit.gateway.worker.jobs import memory, memory_settings, new_job


@asynccontextmanager
async def working(settings: Settings, stores: Stores) -> AsyncIterator[Worker]:
    async with connect(settings) as triton:
        worker = Worker(settings, stores, triton, build_registry(settings), Instruments("worker"))
        running = asyncio.create_task(worker.run())
        while worker.tasks is None:
            await asyncio.sleep(0)
        yield worker
        running.cancel()
        await asyncio.wait([running])


async def test_a_worker_works_until_it_is_cancelled_and_leaves_nothing_running() -> None:
    async with memory() as stores:
        before = asyncio.all_tasks()
        request = new_job()
        await stores.photos.put(request.image.location, b"no photo", "image/png")
        with stores.signals.subscribe(str(request.id)) as changes:
            async with working(memory_settings(), stores) as worker:
                (submission,) = await stores.jobs.submit([request])
                job = submission.job
                while not job.finished:
                    assert await changes.wait(10)
                    job = await stores.jobs.get(request.id)
            assert worker.tasks is None
        assert job.outcome.failure.code == "image_unsupported"
        assert asyncio.all_tasks() == before


async def test_a_part_that_shows_no_life_is_reported() -> None:
    page = WorkerPage(memory_settings(), Instruments("worker"))
    transport = httpx.ASGITransport(page.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client, memory() as stores:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 503
        async with working(memory_settings(), stores) as page.worker:
            answers = [await client.get(path) for path in ("/health/live", "/health/ready", "/health")]
            assert [answer.status_code for answer in answers] == [200, 200, 200]
            assert {"runner", "heartbeat", "janitor"} <= answers[2].json()["parts"].keys()
            janitor = page.worker.tasks.janitor.heartbeat
            janitor._at -= 61
            silent = await client.get("/health/live")
            assert (silent.status_code, silent.json()["silent"]) == (503, ["janitor"])
            janitor.fail("storage_unavailable: away (10.0.0.7:9000 refused)")
            assert (await client.get("/health/live")).status_code == 200
            unready = await client.get("/health/ready")
            assert unready.status_code == 503
            assert unready.json()["failing"] == {"janitor": "storage_unavailable: away (10.0.0.7:9000 refused)"}
            page.worker.tasks.runner.heartbeat.fail("OSError(113, 'Connect call failed (10.0.0.7, 5432)')")
            elsewhere = httpx.ASGITransport(page.app, client=("192.0.2.1", 1))
            async with httpx.AsyncClient(transport=elsewhere, base_url="http://worker") as stranger:
                told = [(await stranger.get(path)).json() for path in ("/health/ready", "/health")]
            assert told[0]["failing"] == {"janitor": "storage_unavailable", "runner": "internal_error"}
            assert told[1]["parts"]["janitor"]["failing"] == "storage_unavailable"


async def statuses(host: str, **given: object) -> list[int]:
    """Of a worker's metrics at both forms of the path, asked from this host."""
    page = WorkerPage(memory_settings(**given), Instruments("worker"))
    transport = httpx.ASGITransport(page.app, client=(host, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        return [(await client.get(path)).status_code for path in ("/metrics", "/metrics/")]


async def test_a_worker_has_its_own_metrics() -> None:
    instruments = Instruments("worker")
    transport = httpx.ASGITransport(WorkerPage(memory_settings(), instruments).app)
    instruments.tasks.lost_lease()
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "\nleases_lost_total 1.0\n" in answer.text
    assert 'process="worker-' in answer.text


async def test_metrics_that_are_switched_off_are_not_served_by_a_worker_either() -> None:
    assert await statuses("127.0.0.1", prometheus_enabled=False) == [404, 404]


async def test_a_workers_closed_metrics_are_served_to_loopback_only() -> None:
    closed = {"access": "required", "jwt_secret": "x" * 32, "metrics_open": False}
    assert await statuses("192.0.2.1", **closed) == [403, 403]
    assert await statuses("127.0.0.1", **closed) == [200, 200]
    assert await statuses("192.0.2.1", **{**closed, "metrics_open": True}) == [200, 200]
