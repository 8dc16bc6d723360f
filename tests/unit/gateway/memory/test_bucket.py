import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.jobs.objects import ObjectMissingError, StoredObject, artifact_key, lock_name
from gateway.memory.objects import MemoryBucket, MemoryLimit
from tests.unit.gateway.memory.making import Clock, done, request, run, stores_of

MIB = 1024 * 1024


@pytest.fixture
def stores():
    return stores_of(Clock(), memory_store_bytes=MIB)


async def stored(bucket, size: int, key: str = "k") -> bool:
    try:
        await bucket.put(key, bytes(size), "image/png")
    except Problem as problem:
        if problem.code != "queue_full" or "Retry-After" not in problem.headers:
            raise
        return False
    return True


async def test_an_object_is_read_as_it_was_written(stores):
    await stores.artifacts.put("a/b/c", b"mask", "image/png")
    assert await stores.artifacts.get("a/b/c") == StoredObject(b"mask", "image/png")
    await stores.artifacts.put("a/b/c", b"other", "text/plain")
    assert await stores.artifacts.get("a/b/c") == StoredObject(b"other", "text/plain")
    await stores.artifacts.check()


async def test_buckets_do_not_share_objects(stores):
    await stores.photos.put("k", b"photo", "image/jpeg")
    with pytest.raises(ObjectMissingError):
        await stores.artifacts.get("k")


async def test_a_removed_object_is_missing_and_may_be_removed_again(stores):
    await stores.artifacts.put("a/1", b"mask", "image/png")
    await stores.artifacts.put("a/2", b"mask", "image/png")
    await stores.artifacts.remove(["a/1", "never"])
    await stores.artifacts.remove(["a/1"])
    with pytest.raises(ObjectMissingError):
        await stores.artifacts.get("a/1")
    assert await stores.artifacts.keys("a/") == ["a/2"]
    assert await stores.artifacts.keys("b/") == []


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.booleans()), max_size=20))
async def test_a_bucket_knows_how_many_bytes_its_objects_are(steps):
    bucket, held = MemoryBucket(), {}
    bucket.limits = [MemoryLimit(MIB, [bucket])]
    for key, size, keep in steps:
        if keep:
            await bucket.put(key, bytes(size), "")
            held[key] = size
        else:
            await bucket.remove([key])
            held.pop(key, None)
        assert bucket.used_by.total() == sum(held.values())
    assert await bucket.keys("") == list(held)


async def test_photos_leave_memory_for_masks(stores):
    assert await stored(stores.photos, MIB * 3 // 4)
    assert not await stored(stores.photos, 1, "other")
    assert await stored(stores.artifacts, MIB // 4)
    assert not await stored(stores.artifacts, 1, "other")


async def test_replacing_an_object_frees_the_old_ones_space(stores):
    assert await stored(stores.photos, MIB // 2)
    assert await stored(stores.photos, MIB * 3 // 4)
    assert await stored(stores.photos, 10)
    assert await stored(stores.photos, MIB // 2, "other")


async def test_an_object_larger_than_all_memory_is_too_large(stores):
    for bucket, size in ((stores.artifacts, MIB), (stores.photos, MIB * 3 // 4)):
        assert await stored(bucket, size)
        with pytest.raises(Problem, match="body_too_large"):
            await bucket.put("k", bytes(size + 1), "image/png")
        await bucket.remove(["k"])


async def test_the_jobs_that_ended_first_are_evicted(stores):
    jobs = [request() for _ in range(3)]
    await stores.jobs.submit(jobs)
    await run(stores, MIB // 4)
    assert await stored(stores.artifacts, MIB // 2)
    assert [await stores.jobs.get(job.id) is not None for job in jobs] == [False, True, True]
    assert await stores.artifacts.keys("_/request") == [done_key(job) for job in jobs[1:]]


async def test_results_of_the_tenant_that_keeps_most_are_removed(stores):
    small, large = request(tenant="acme"), [request(tenant="globex") for _ in range(3)]
    await stores.jobs.submit([small, *large])
    await run(stores, MIB // 4)
    for _ in range(2):
        more = request(tenant="globex")
        await stores.jobs.submit([more])
        await run(stores, MIB // 4)
        large.append(more)
    assert [await stores.jobs.get(job.id) is not None for job in (small, *large)] == [True, *[False] * 2, *[True] * 3]


async def test_objects_that_another_job_writes_under_an_ended_jobs_name_stay(stores):
    jobs = [request() for _ in range(2)]
    await stores.jobs.submit(jobs)
    await run(stores, MIB // 4)
    assert await stores.jobs.delete(jobs[0].id)
    assert await stores.locks.take(lock_name(jobs[0]), 60)
    await stores.artifacts.put(done_key(jobs[0]), b"of its successor", "image/png")
    assert await stored(stores.artifacts, MIB * 3 // 4)
    assert (await stores.artifacts.get(done_key(jobs[0]))).data == b"of its successor"
    assert await stores.jobs.get(jobs[1].id) is None
    assert not await stored(stores.photos, MIB // 2)


async def test_unfinished_jobs_and_their_photos_stay(stores):
    job = request()
    await stores.photos.put(job.image.location, bytes(MIB // 2), "image/jpeg")
    await stores.jobs.submit([job])
    assert not await stored(stores.artifacts, MIB * 3 // 4)
    assert not await stored(stores.photos, MIB // 2, "other")
    assert (await stores.jobs.get(job.id)).state == "queued"
    assert len((await stores.photos.get(job.image.location)).data) == MIB // 2


async def test_an_object_that_cannot_fit_removes_no_finished_job(stores):
    waiting, finished = request(), request()
    await stores.jobs.submit([finished])
    await run(stores)
    await stores.photos.put(waiting.image.location, bytes(MIB // 2), "image/jpeg")
    await stores.jobs.submit([waiting])
    assert not await stored(stores.photos, MIB // 2, "other")
    assert await stores.jobs.get(finished.id) is not None


async def test_the_photo_of_a_finished_job_is_removed(stores):
    job = request()
    await stores.photos.put(job.image.location, bytes(10), "image/jpeg")
    await stores.jobs.submit([job])
    await run(stores)
    with pytest.raises(ObjectMissingError):
        await stores.photos.get(job.image.location)


async def test_dropping_a_job_keeps_the_masks_of_a_job_with_the_same_name(stores):
    first = request()
    await stores.jobs.submit([first])
    await run(stores, MIB // 4)
    await stores.jobs.delete(first.id)
    second = request(request_id=first.request_id)
    await stores.jobs.submit([second])
    lease = (await stores.jobs.claim("worker", 1, 10))[0]
    key = done_key(second)
    await stores.artifacts.put(key, bytes(MIB // 4), "image/png")
    assert not await stored(stores.artifacts, MIB * 3 // 4 + 1, "other")
    assert await stores.jobs.removable(10, 0) == []
    assert await stores.artifacts.keys(key) == [key]
    assert await stores.jobs.finish(lease, done(lease.job))


def done_key(job) -> str:
    return artifact_key(job.user_id, job.request_id, "upper_body_mask.png")
