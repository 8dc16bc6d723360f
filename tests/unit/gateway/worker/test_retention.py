from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from typing import TypeVar
from uuid import UUID, uuid4

import pytest

from gateway.background import Heartbeat
from gateway.cache.cache import ALL_DAYS
from gateway.errors import Problem
from gateway.jobs.job import Job, NewJob, Outcome, StoredArtifact
from gateway.jobs.objects import LONGEST_BATCH_S, ArtifactStore, Bucket, ObjectsKeptError, artifact_key, lock_name
from gateway.stores import Stores, memory_stores
from gateway.worker.retention import Janitor, Leftovers
from tests.cache_contract import entry
from tests.unit.gateway.worker.jobs import NOW, memory_settings, new_job

T = TypeVar("T")
LEASE_S = 10


@dataclass
class Time:
    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **time: float) -> None:
        self.now += timedelta(**time)


def stores_at(clock: Time) -> Stores:
    return memory_stores(memory_settings(), lambda _job, _outcome: (), clock)


def janitor(stores: Stores, retention_days: int = 0) -> Janitor:
    return Janitor(memory_settings(lease_s=LEASE_S, job_retention_days=retention_days), stores)


async def running(stores: Stores, request: NewJob) -> Job:
    """A job that a worker has, whose photo is there and one of whose artifacts is written."""
    await stores.photos.put(request.image.location, b"photo", "image/png")
    await stores.jobs.submit([request])
    await put(stores, request, "upper_body_mask.png")
    (lease,) = await stores.jobs.claim("worker-1", 1, LEASE_S)
    return lease.job


async def completed(stores: Stores, request: NewJob) -> Job:
    await stores.jobs.submit([request])
    (lease,) = await stores.jobs.claim("worker-1", 1, LEASE_S)
    artifact = await put(stores, request, "upper_body_mask.png")
    assert await stores.jobs.finish(lease, Outcome({}, (artifact,)))
    return lease.job


async def put(stores: Stores, request: NewJob, name: str) -> StoredArtifact:
    key = artifact_key(request.user_id, request.request_id, name)
    await stores.artifacts.put(key, b"mask", "image/png")
    return StoredArtifact(name, key, "image/png", 4)


async def test_a_deleted_jobs_objects_are_removed_once_no_worker_can_write_them() -> None:
    stores = stores_at(clock := Time())
    other = await completed(stores, new_job("123"))
    job = await running(stores, new_job("123"))
    assert await stores.jobs.delete(job.id)
    clock.pass_by(seconds=LEASE_S)
    await put(stores, job.request, "dress_mask.png")
    await janitor(stores).clean()
    assert len(await stores.artifacts.keys("")) == 1
    await put(stores, job.request, "dress_mask.png")
    clock.pass_by(seconds=29)
    await janitor(stores).clean()
    assert len(await stores.artifacts.keys("")) == 2
    clock.pass_by(seconds=1)
    await janitor(stores).clean()
    assert await stores.photos.keys("") == []
    assert await stores.artifacts.keys("") == [artifact_key("123", other.request.request_id, "upper_body_mask.png")]
    assert await stores.jobs.removable(10, 0) == []


async def test_the_artifacts_of_a_later_job_with_the_same_ids_stay() -> None:
    stores = stores_at(clock := Time())
    first = await completed(stores, new_job("123"))
    assert await stores.jobs.delete(first.id)
    second = new_job("123")
    later = await completed(stores, replace(second, request_id=first.request.request_id))
    clock.pass_by(hours=1)
    await janitor(stores).clean()
    assert len(await stores.artifacts.keys("")) == 1
    assert await stores.jobs.removable(10, 0) == []
    assert await stores.jobs.get(later.id) is not None


async def test_a_removal_that_waits_for_a_held_lock_is_not_counted_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.retention._WAIT_S", 0.0)
    stores = stores_at(clock := Time())
    job = await completed(stores, new_job("123"))
    assert await stores.jobs.delete(job.id)
    assert await stores.locks.take(lock_name(job.request), 30.0)
    clock.pass_by(seconds=11)
    await janitor(stores).clean()
    standing = await stores.jobs.standing()
    assert (standing.deleting.count, standing.failing) == (1, 0)
    clock.pass_by(seconds=61)
    await janitor(stores).clean()
    assert await stores.jobs.deleting(job.id) is None


async def test_expired_jobs_are_deleted_and_removed() -> None:
    stores = stores_at(clock := Time())
    old = await completed(stores, new_job())
    clock.pass_by(days=3)
    young = await completed(stores, new_job())
    cleaner = janitor(stores, retention_days=2)
    await cleaner.clean()
    assert await stores.jobs.get(old.id) is None
    assert await stores.jobs.get(young.id) is not None
    clock.pass_by(minutes=1)
    await cleaner.clean()
    assert len(await stores.artifacts.keys("")) == 1


async def test_nothing_expires_without_a_retention() -> None:
    stores = stores_at(clock := Time())
    job = await completed(stores, new_job())
    clock.pass_by(days=1000)
    await janitor(stores).clean()
    assert await stores.jobs.get(job.id) is not None


async def test_photos_that_were_left_behind_are_removed() -> None:
    stores = stores_at(Time())
    done, waiting = await completed(stores, new_job()), new_job()
    await stores.jobs.submit([waiting])
    for key in (done.request.image.location, waiting.image.location, str(uuid4()), "a foreign object"):
        await stores.photos.put(key, b"photo", "image/png")
        await stores.photos.put(f"{key}.parameters", b"{}", "image/png")
    seconds = count(step=LONGEST_BATCH_S)
    leftovers = Leftovers(stores, Heartbeat("janitor"), lambda: next(seconds))
    assert await leftovers.remove() == 2
    late = str(uuid4())
    await stores.photos.put(late, b"photo", "image/png")
    assert await leftovers.remove() == 0, "it may be the first of a batch that still comes"
    assert len(await stores.photos.keys("")) == 7
    assert await leftovers.remove() == 2
    kept = [f"{key}{end}" for key in (waiting.image.location, "a foreign object") for end in ("", ".parameters")]
    assert sorted(await stores.photos.keys("")) == sorted([late, *kept])


async def test_expired_results_are_removed() -> None:
    stores = stores_at(clock := Time())
    await stores.cache.keep(entry(1, life_s=60))
    await stores.cache.keep(entry(2, life_s=120))
    clock.pass_by(seconds=90)
    await janitor(stores).clean()
    assert (await stores.cache.stats(ALL_DAYS)).entries == 1


async def test_one_round_removes_as_many_as_there_are() -> None:
    stores = stores_at(clock := Time())
    for _ in range(250):
        assert await stores.jobs.delete((await completed(stores, new_job())).id)
    clock.pass_by(hours=1)
    await janitor(stores).clean()
    assert await stores.jobs.removable(1, 0) == []


async def photo_of(stores: Stores, request: NewJob) -> None:
    await stores.photos.put(request.image.location, b"photo", "image/png")


async def test_a_failed_messages_photo_is_kept_until_its_dead_letter_is_closed() -> None:
    stores = stores_at(Time())
    message = (await completed(stores, new_job())).request
    await photo_of(stores, message)
    replayable = replace(stores, jobs=Replayable())
    assert await Leftovers(replayable, Heartbeat("janitor")).remove() == 0
    assert await stores.photos.keys("") == [message.image.location]
    assert await Leftovers(stores, Heartbeat("janitor")).remove() == 1


async def test_objects_of_a_writer_that_died_before_its_job_was_stored_are_removed() -> None:
    stores = stores_at(clock := Time())
    dead = new_job("123")
    assert await stores.locks.take(lock_name(dead), 30.0)
    await put(stores, dead, "upper_body_mask.png")
    await janitor(stores).clean()
    assert len(await stores.artifacts.keys("")) == 1, "it may still be at work"
    clock.pass_by(seconds=31)
    await janitor(stores).clean()
    assert await stores.artifacts.keys("") == []
    assert await stores.locks.lapsed(10) == []


async def test_objects_that_s3_keeps_of_one_dead_writer_block_no_other_removal() -> None:
    stores = stores_at(clock := Time())
    dead = [new_job("123") for _ in range(30)]
    for one in dead:
        assert await stores.locks.take(lock_name(one), 30.0)
        await put(stores, one, "upper_body_mask.png")
    clock.pass_by(seconds=31)
    kept = await put(stores, dead[0], "upper_body_mask.png")
    await janitor(replace(stores, artifacts=Keeping(stores.artifacts, kept.key))).clean()
    assert await stores.artifacts.keys("") == [kept.key]
    assert await stores.locks.lapsed(100) == []


async def test_results_expire_while_the_object_storage_is_away() -> None:
    stores = stores_at(clock := Time())
    await stores.locks.take(lock_name(new_job("123")), 30.0)
    await stores.cache.keep(entry(1, life_s=1))
    clock.pass_by(seconds=31)
    with pytest.raises(Problem, match="away"):
        await janitor(replace(stores, artifacts=Away())).clean()
    assert (await stores.cache.stats(ALL_DAYS)).entries == 0


async def test_the_next_writer_removes_a_dead_writers_objects() -> None:
    stores = stores_at(clock := Time())
    request = new_job("123")
    await stores.locks.take(lock_name(request), 30.0)
    await put(stores, request, "dress_mask.png")
    clock.pass_by(seconds=31)
    async with ArtifactStore(stores.locks, stores.jobs, stores.artifacts).held(request, 0.0):
        assert await stores.artifacts.keys("") == []


async def test_a_deleted_jobs_objects_are_searched_again_while_a_worker_could_write_them() -> None:
    stores = stores_at(clock := Time())
    job = await running(stores, new_job("123"))
    assert await stores.jobs.delete(job.id)
    looked = clock.now
    await put(stores, job.request, "late.png")
    clock.pass_by(hours=1)
    assert await stores.jobs.remove([job.id], looked) == frozenset()
    await janitor(stores).clean()
    assert await stores.jobs.deleting(job.id) is None
    assert await stores.artifacts.keys("") == []


class Keeping:
    """A bucket with an object under a legal hold."""

    def __init__(self, bucket: Bucket, key: str) -> None:
        self.keys, self._remove, self._kept = bucket.keys, bucket.remove, key

    async def remove(self, keys: Sequence[str]) -> None:
        await self._remove([key for key in keys if key != self._kept])
        if self._kept in keys:
            raise ObjectsKeptError({self._kept: "legal hold"})


class Away:
    """A bucket that cannot be reached."""

    async def keys(self, _prefix: str) -> list[str]:
        raise Problem("storage_unavailable", "away")


class Replayable:
    """Jobs that a message may have begun anew: their dead letters are open."""

    async def over(self, job_ids: Sequence[UUID]) -> Mapping[UUID, bool]:
        return dict.fromkeys(job_ids, False)
