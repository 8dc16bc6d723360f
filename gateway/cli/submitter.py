"""Makes jobs of photos, several at a time, and waits for their outcomes."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import httpx

from gateway.cli.client import RefusedError, accepted, patiently
from gateway.cli.sources import Source
from gateway.cli.watching import JobObject, job_of, job_path, segment, states

_TRIES = 100
"""A full queue empties: a folder may well hold more photos than fit into it."""


@dataclass(frozen=True)
class Submitted:
    """What became of one photo: its job as last seen; the code and detail of what went wrong."""

    source: Source
    job: JobObject | None = None
    code: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Submitter:
    """One client, and the same fields for every photo; `told` hears of every state of every job."""

    client: httpx.AsyncClient
    fields: Mapping[str, str]
    told: Callable[[Source, JobObject], None]

    async def submit(self, source: Source) -> Submitted:
        """Make a job of a photo."""
        return await _caught(source, self._submit(source))

    async def complete(self, source: Source) -> Submitted:
        """Make a job of a photo, wait for its outcome, save its artifacts."""
        return await _caught(source, self._complete(source))

    async def _submit(self, source: Source) -> JobObject:
        job = job_of(await patiently(lambda: self._post(source), _TRIES))
        self.told(source, job)
        return job

    async def _complete(self, source: Source) -> JobObject:
        job = await self._submit(source)
        async for now in states(self.client, job["id"]):
            job = now
            self.told(source, job)
        for name in _artifacts(job):
            await self._save(source, job, name)
        return job

    async def _post(self, source: Source) -> httpx.Response:
        headers = {} if "request_id" in self.fields else {"Idempotency-Key": source.key}
        kind = source.location_kind
        if kind:
            body = {**self.fields, "image": {kind: source.name}}
            return await self.client.post("/v1/jobs", json=body, headers=headers)
        files = {"image": ("photo", source.read())}
        return await self.client.post("/v1/jobs", files=files, data=self.fields, headers=headers)

    async def _save(self, source: Source, job: JobObject, name: str) -> None:
        if source.photo is not None:
            source.photo.place(name)
            way = "/".join(map(segment, ("artifacts", *name.split("/"))))
            answer = accepted(await self.client.get(job_path(job["id"], f"/{way}")))
            source.photo.save(name, answer.content)


async def for_each(
    sources: Sequence[Source],
    in_flight: int,
    work: Callable[[Source], Awaitable[Submitted]],
    done: Callable[[Submitted], None],
) -> list[Submitted]:
    """What became of the photos, in their order; `done` hears of each as it comes."""
    limit = asyncio.Semaphore(in_flight)

    async def one(source: Source) -> Submitted:
        async with limit:
            submitted = await work(source)
        done(submitted)
        return submitted

    return await asyncio.gather(*map(one, sources))


async def _caught(source: Source, work: Awaitable[JobObject]) -> Submitted:
    try:
        job = await work
    except RefusedError as error:
        return Submitted(source, code=error.code, detail=error.detail)
    except OSError as error:
        return Submitted(source, code="file_error", detail=f"{error.strerror}: {error.filename}")
    except httpx.HTTPError as error:
        return Submitted(source, code="connection_failed", detail=str(error) or type(error).__name__)
    match job.get("error"):
        case {"code": str(code), "detail": str(detail)}:
            return Submitted(source, job, code, detail)
    return Submitted(source, job)


def _artifacts(job: JobObject) -> Iterable[str]:
    artifacts = job.get("artifacts")
    return artifacts if isinstance(artifacts, Mapping) else ()
