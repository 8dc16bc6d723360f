"""Jobs of one name at the same time, one after the other, and left behind: whose the objects are."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from uuid import uuid4

import pytest

from gateway.access.callers import LOCAL
from gateway.cache.cache import CachedResult, CacheHit, CacheKey, NewEntry
from gateway.cache.results import Work
from gateway.errors import Problem
from gateway.http.new_jobs import accept
from gateway.http.services import Services
from gateway.intake.requests import JobRequest
from gateway.jobs.job import Lease, Outcome, SubmittedJob
from gateway.jobs.objects import ArtifactStore, Bucket, InUseError, StoredObject
from gateway.pipelines.outputs import Artifact
from gateway.worker.retention import Removals
from tests.integration.gateway.jobs.house import MASK, RESULT, House

ROUNDS = 20


@dataclass
class Known:
    """A cache that has every photo's result: one mask, which tells of which photo it is."""

    counted: int = 0

    async def find(self, work: Work) -> CacheHit:
        mask = Artifact(MASK, digest(work.photo))
        return CacheHit(CacheKey("body_masks", b"key"), CachedResult(RESULT, (mask,), None, 1.0))

    def count(self, _served: CacheHit | NewEntry | None) -> None:
        self.counted += 1


@dataclass
class Gated(Bucket):
    """A bucket that waits before it removes."""

    bucket: Bucket
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        await self.bucket.put(key, data, media_type)

    async def get(self, key: str) -> StoredObject:
        return await self.bucket.get(key)

    async def keys(self, prefix: str) -> list[str]:
        return await self.bucket.keys(prefix)

    async def remove(self, keys: Sequence[str]) -> None:
        self.reached.set()
        await self.opened.wait()
        await self.bucket.remove(keys)


def digest(photo: bytes) -> bytes:
    return hashlib.sha256(photo).digest()


def answering(house: House) -> tuple[Services, Known]:
    known = Known()
    return replace(house.services, results=known), known


def wanted(photo: bytes, name: str) -> JobRequest:
    return JobRequest("body_masks", "{}", photo, "", name, "http")


async def accepted(services: Services, photo: bytes, name: str) -> SubmittedJob | Problem:
    try:
        return await accept(services, LOCAL, wanted(photo, name), "0" * 32)
    except Problem as problem:
        return problem


async def begun(house: House, name: str) -> Lease:
    """A job of this name that a worker has."""
    await house.empty_queue()
    return await house.begin((await house.submit(request_id=name))["id"])


async def objects(house: House, name: str) -> list[str]:
    return await house.stores.artifacts.keys(f"_/{name}/")


async def work(house: House, lease: Lease, mask: bytes, patience_s: float = 10.0) -> bool:
    """Write one mask and end the job, as a worker does."""
    stores = house.stores
    keys, request = ArtifactStore(stores.locks, stores.jobs, stores.artifacts), lease.job.request
    async with keys.held(request, patience_s) as grip:
        stored = await keys.store(grip, request, [Artifact(MASK, mask)])
        ended = await stores.jobs.finish(replace(lease, lock=grip.lock.token), Outcome(RESULT, stored))
        grip.state = "spent" if ended else grip.state
        return ended


async def test_two_photos_under_one_id_at_once_leave_the_winners_mask(house: House) -> None:
    services, known = answering(house)
    for number in range(ROUNDS):
        name, photos = uuid4().hex, [f"{number} {half}".encode() for half in ("first", "second")]
        answers = await asyncio.gather(*(accepted(services, photo, name) for photo in photos))
        won, lost = sorted(zip(answers, photos, strict=True), key=lambda pair: isinstance(pair[0], Problem))
        assert isinstance(lost[0], Problem)
        assert lost[0].code == "idempotency_conflict"
        assert isinstance(won[0], SubmittedJob)
        if won[0].job.outcome is None:  # both were at it, and one was queued instead
            (lease,) = await house.stores.jobs.claim("worker", 1, 30.0)
            assert await work(house, lease, digest(won[1]))
        assert [(await house.stores.artifacts.get(key)).data for key in await objects(house, name)] == [digest(won[1])]
        assert known.counted <= number + 1
    assert known.counted > 0


async def test_a_removal_that_is_slow_leaves_the_successors_mask(house: House) -> None:
    name = uuid4().hex
    first = await begun(house, name)
    assert await work(house, first, b"of the first")
    job = await house.stores.jobs.delete(first.job.id)
    assert job is not None
    gated = Gated(house.stores.artifacts)
    removing = asyncio.create_task(Removals(replace(house.stores, artifacts=gated)).remove(job))
    await gated.reached.wait()
    second = await begun(house, name)
    working = asyncio.create_task(work(house, second, b"of the second"))
    await asyncio.sleep(0.1)
    gated.opened.set()
    assert await asyncio.gather(removing, working) == [True, True]
    assert (await house.stores.artifacts.get(f"_/{name}/{MASK}")).data == b"of the second"


async def test_a_removal_deletes_only_objects_that_the_successor_does_not_use(house: House) -> None:
    name = uuid4().hex
    first = await begun(house, name)
    await house.stores.artifacts.put(f"_/{name}/dress_mask.png", b"of the first", "image/png")
    assert await work(house, first, b"of the first")
    job = await house.stores.jobs.delete(first.job.id)
    assert job is not None
    assert await work(house, await begun(house, name), b"of the second")
    assert await Removals(house.stores).remove(job)
    assert await objects(house, name) == [f"_/{name}/{MASK}"]


async def test_an_attempt_that_lost_its_lock_ends_no_job(house: House) -> None:
    name, stores = uuid4().hex, house.stores
    lease = await begun(house, name)
    keys = ArtifactStore(stores.locks, stores.jobs, stores.artifacts)
    async with keys.held(lease.job.request, 0.0) as late:
        stored = await keys.store(late, lease.job.request, [Artifact(MASK, b"late")])
        await stores.locks.release(late.lock)
        assert not await stores.jobs.finish(replace(lease, lock=late.lock.token), Outcome(RESULT, stored))
    assert await work(house, lease, b"in time")
    assert (await stores.artifacts.get(f"_/{name}/{MASK}")).data == b"in time"


async def test_nobody_waits_long_for_keys_that_are_in_use(house: House) -> None:
    lease = await begun(house, uuid4().hex)
    keys = ArtifactStore(house.stores.locks, house.stores.jobs, house.stores.artifacts)
    async with keys.held(lease.job.request, 0.0):
        with pytest.raises(InUseError):
            async with keys.held(lease.job.request, 0.1):
                raise AssertionError
    assert await work(house, lease, b"then", patience_s=0.0)
