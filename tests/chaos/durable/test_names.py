"""Names are sent twice at once, deleted and used again, under outages: each has its last job's objects, no others."""

import asyncio
import random
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import pytest
from minio import Minio
from rich.console import Console

from tests.chaos.durable import ledger, outages
from tests.chaos.durable.names import Names, faults
from tests.chaos.durable.outages import Outage
from tests.stack import RunningStack, running_stack

AT_A_TIME = 12
CALM_S = 2.0
LEASE_S = 2
GONE_S = LEASE_S + 30 + 150.0
"""After a worker may have written for the last time, and a removal that was put off, or whose janitor was killed."""
_KILLED = ("worker", "gateway", "s3", "postgres")


@dataclass(frozen=True)
class Length:
    """How many names are sent twice, how many jobs are deleted, and the outages they live through."""

    twins: int
    deletions: int
    outages: tuple[Outage, ...]


@pytest.fixture
def length(request: pytest.FixtureRequest) -> Length:
    if request.config.getoption("--long"):
        kills = tuple(Outage(service, "kill") for _ in range(3) for service in _KILLED)
        return Length(200, 200, (*kills, *(Outage(service, "stop") for service in _KILLED)))
    return Length(20, 16, tuple(Outage(service, "kill") for service in ("worker", "gateway")))


@pytest.fixture(scope="module")
def photos(astronaut: Path) -> Mapping[str, bytes]:
    pixels = cv2.imread(str(astronaut))
    shapes = {"whole": pixels, "small": cv2.resize(pixels, (384, 384)), "flipped": pixels[:, ::-1]}
    return {name: cv2.imencode(".jpg", shape)[1].tobytes() for name, shape in shapes.items()}


async def test_each_request_id_has_only_its_last_jobs_objects(
    tmp_path: Path, photos: Mapping[str, bytes], length: Length, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"QUEUE_MAX_SIZE": "5000", "PIPELINES": "body_masks", "TRITON_INSTANCES": "2", "LEASE_S": str(LEASE_S)}
    with running_stack(tmp_path, **settings) as stack:
        limits = httpx.Limits(max_connections=2 * AT_A_TIME + 4)
        async with httpx.AsyncClient(base_url=stack.url, timeout=40, limits=limits) as client:
            masks = {name: await _mask(client, photo) for name, photo in photos.items()}
            assert len(set(masks.values())) == len(masks)
            names = Names(client, photos)
            report = await _live_through(stack, names, length)
            await _until_gone(client)
            objects = await asyncio.to_thread(_objects, stack)
            found = faults(names, await ledger.read_jobs(client), objects, masks)
    with capsys.disabled():
        Console().print("", *report, dict(names.counts), f"{len(objects)} objects", sep="\n")
    assert not found, found


async def _mask(client: httpx.AsyncClient, photo: bytes) -> bytes:
    fields = {"mask_types": "upper_body", "gender": "M"}
    answer = await client.post("/v1/run/body_masks", files={"image": photo}, data=fields)
    return answer.raise_for_status().content


async def _live_through(stack: RunningStack, names: Names, length: Length) -> list[str]:
    """All is sent, a few at a time, for as long as the outages take; how long each lasted."""
    work = [names.twins(number) for number in range(length.twins)]
    work += [names.deletion(number) for number in range(length.deletions)]
    random.shuffle(work)
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(errand: Awaitable[None]) -> None:
        async with places:
            await errand

    harm = asyncio.create_task(_harm(stack, length.outages))
    await asyncio.gather(*map(one, work))
    return await harm


async def _harm(stack: RunningStack, planned: tuple[Outage, ...]) -> list[str]:
    report = []
    for outage in planned:
        await asyncio.sleep(CALM_S)  # so that work is under way again
        report.append(f"{outage}: ready after {await outages.bring_about(stack, outage):.1f} s")
    return report


async def _until_gone(client: httpx.AsyncClient) -> None:
    """Wait until every job has ended and every deleted one is gone; what is not by then, is told as a fault."""

    async def done() -> bool:
        jobs = await ledger.read_jobs(client)
        return all(job["state"] in {"completed", "failed"} for copies in jobs.values() for job in copies)

    end = asyncio.get_running_loop().time() + GONE_S
    while asyncio.get_running_loop().time() < end and not await done():
        await asyncio.sleep(0.5)


def _objects(stack: RunningStack) -> Mapping[str, bytes]:
    given = stack.addresses()
    s3 = Minio(given["MINIO_ENDPOINT"], given["MINIO_ACCESS_KEY"], given["MINIO_SECRET_KEY"], secure=False)
    keys = [str(item.object_name) for item in s3.list_objects("masks", recursive=True)]
    return {key: s3.get_object("masks", key).read() for key in keys}
