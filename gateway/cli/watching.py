"""A job's states as the gateway tells them."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from typing import TypeAlias
from urllib.parse import quote

import httpx

from gateway.cli.client import RefusedError, accepted

JobObject: TypeAlias = Mapping[str, object]
"""A job as the gateway's JSON has it."""

FINISHED = frozenset({"completed", "failed"})
_SILENCE = httpx.Timeout(60.0, connect=5.0)
"""The gateway says every 15 seconds that a stream lives."""
_BREAKS = 60
_PAUSE_S = 1.0


def job_path(job_id: object, below: str = "") -> str:
    """A job's address."""
    return f"/v1/jobs/{quote(str(job_id), safe='')}{below}"


async def states(client: httpx.AsyncClient, job_id: object) -> AsyncIterator[JobObject]:
    """States until the outcome; a stream that breaks is taken up again, for a minute without an answer.

    Raises RefusedError, where the job is not there or was deleted, and httpx.TransportError.
    """
    breaks = 0
    while True:
        try:
            async for job in _stream(client, job_id):
                breaks = 0
                yield job
                if job["state"] in FINISHED:
                    return
        except httpx.TransportError:
            breaks += 1
            if breaks > _BREAKS:
                raise
        await asyncio.sleep(_PAUSE_S)


async def _stream(client: httpx.AsyncClient, job_id: object) -> AsyncIterator[JobObject]:
    async with client.stream("GET", job_path(job_id, "/events"), timeout=_SILENCE) as answer:
        if not answer.is_success:
            await answer.aread()
        accepted(answer)
        async for line in answer.aiter_lines():
            if line == "event: deleted":
                raise RefusedError("job_not_found", f"Job {job_id} was deleted.")
            if line.startswith("data: "):
                job: JobObject = json.loads(line.removeprefix("data: "))
                yield job
