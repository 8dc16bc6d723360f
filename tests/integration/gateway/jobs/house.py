"""A gateway in this process on real stores, without a worker: the test decides when a job runs and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx

from gateway.http.openapi import tiny_png
from gateway.http.services import Services, services_on
from gateway.jobs.job import Lease, Outcome, StoredArtifact
from gateway.jobs.objects import artifact_key
from gateway.limits.fairness import NOBODY
from gateway.listening import Config, Limits, Server
from gateway.pipelines.outputs import Failure, media_type
from gateway.pipelines.registry import build_registry
from gateway.server import create_app
from gateway.settings import Settings
from gateway.stores import Stores, open_stores
from gateway.triton import connect
from tests.ports import free_ports

JOBS = "/v1/jobs"
PHOTO = tiny_png()
FORM = {"image": ("photo.png", PHOTO)}
MASK = "upper_body_mask.png"
LEASE_S = 30.0
RESULT = {
    "status": "completed",
    "photo": {"width": 16, "height": 16},
    "persons": [{"index": 0, "box": [1.0, 2.0, 3.0, 4.0], "score": 0.5, "keypoints": [[0.0, 0.0, 0.0]] * 18}],
}


@dataclass(frozen=True)
class House:
    """A served application and what it stands on."""

    client: httpx.AsyncClient
    services: Services

    @property
    def stores(self) -> Stores:
        return self.services.stores

    async def submit(self, **fields: str) -> dict[str, object]:
        """The view of a new job."""
        answer = await self.client.post(JOBS, files=FORM, data=fields)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def begin(self, job_id: object) -> Lease:
        """Take the job, as a worker does."""
        leases = await self.stores.jobs.claim("tester", 100, LEASE_S)
        found = [lease for lease in leases if lease.job.id == UUID(str(job_id))]
        for other in leases:
            if other not in found:
                await self.stores.jobs.release(other)
        return found[0]

    async def complete(self, lease: Lease, mask: bytes = b"mask") -> None:
        """End the job with one mask."""
        await self.complete_with(lease, {MASK: mask})

    async def complete_with(self, lease: Lease, files: Mapping[str, bytes]) -> None:
        """End the job with these files."""
        request, artifacts = lease.job.request, list[StoredArtifact]()
        for name, data in files.items():
            key, kind = artifact_key(request.user_id, request.request_id, name, request.tenant), media_type(name)
            await self.stores.artifacts.put(key, data, kind)
            artifacts.append(StoredArtifact(name, key, kind, len(data)))
        assert await self.stores.jobs.finish(lease, Outcome(RESULT, tuple(artifacts), timings_ms={"infer": 12.5}))

    async def fail(self, lease: Lease, code: str = "no_person") -> None:
        """End the job without masks."""
        assert await self.stores.jobs.finish(lease, Outcome(failure=Failure(code, "nobody there")))

    async def answer_when_there_is_room(self, path: str) -> httpx.Response:
        """The answer, which does not come as long as the memory for bodies is full."""
        with self.services.admission.visit(NOBODY) as visit:
            self.services.admission.bodies.put(visit, self.services.admission.bodies.total)
            asking = asyncio.ensure_future(self.client.get(path))
            done, _ = await asyncio.wait({asking}, timeout=0.3)
            assert not done
        return await asking

    async def empty_queue(self) -> None:
        """Cancel what waits or runs."""
        for state in ("queued", "running"):
            for job in (await self.client.get(JOBS, params={"state": state, "limit": "200"})).json()["jobs"]:
                await self.stores.jobs.cancel(UUID(job["id"]))


@asynccontextmanager
async def open_house(settings: Settings) -> AsyncIterator[House]:
    """Serve on a free port, with nothing at Triton's address."""
    app, (port,) = create_app(settings), free_ports(1)
    instruments = app.state.instruments
    server = Server(Config(app, Limits(grace_s=5), port=port))
    async with (
        connect(settings) as triton,
        open_stores(settings, instruments.tasks.ended) as stores,
    ):
        app.state.services = services_on(settings, build_registry(settings), triton, stores, instruments)
        serving = asyncio.create_task(server.serve())
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            await until(lambda: _lives(client), "the gateway answers")
            yield House(client, app.state.services)
        app.state.services.close_streams()
        server.should_exit = True
        await serving


async def _lives(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/live")).is_success
    except httpx.TransportError:
        return False


async def until(condition: Callable[[], Awaitable[bool]], what: str, timeout_s: float = 20) -> None:
    """Wait until the condition holds."""
    end = asyncio.get_running_loop().time() + timeout_s
    while not await condition():
        assert asyncio.get_running_loop().time() < end, f"not within {timeout_s} s: {what}"
        await asyncio.sleep(0.02)
