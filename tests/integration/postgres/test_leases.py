from gateway.pipelines.outputs import Failure
from tests.integration.postgres.making import AWAY, DONE, LEASE_S, request


async def claim(stores, limit=1):
    return await stores.jobs.claim("worker", limit, LEASE_S)


async def expire(sql):
    await sql.execute("UPDATE jobs SET lease_until = now() WHERE state = 'running'")


async def test_a_worker_that_lost_a_job_cannot_change_it(stores, sql):
    await stores.jobs.submit([request("ann")])
    (old,) = await claim(stores)
    assert await claim(stores) == []
    await expire(sql)
    (new,) = await claim(stores)
    assert (new.job.id, new.job.attempts) == (old.job.id, 2)
    assert not await stores.jobs.finish(old, DONE)
    assert not await stores.jobs.retry(old, AWAY.failure, 0.0)
    assert not await stores.jobs.release(old)
    assert await stores.jobs.renew("worker", 1, [old.token, new.token], LEASE_S) == {new.token}
    assert await stores.jobs.finish(new, DONE)


async def test_an_expired_lease_holds_until_another_worker_takes_the_job(stores, sql):
    await stores.jobs.submit([request("ann")])
    (lease,) = await claim(stores)
    await expire(sql)
    assert await stores.jobs.renew("worker", 1, [lease.token], LEASE_S) == {lease.token}
    assert await claim(stores) == []
    await expire(sql)
    assert await stores.jobs.finish(lease, DONE)


async def test_a_worker_loses_the_lease_of_a_cancelled_job(stores):
    await stores.jobs.submit([job := request("ann")])
    (lease,) = await claim(stores)
    assert (await stores.jobs.cancel(job.id)).outcome.failure.code == "cancelled"
    assert not await stores.jobs.finish(lease, DONE)
    assert await stores.jobs.renew("worker", 1, [lease.token], LEASE_S) == frozenset()


async def test_a_job_whose_workers_die_again_and_again_fails(stores, sql):
    await stores.jobs.submit([job := request("ann"), after := request("ann")])
    for _ in range(2):  # MAX_RETRIES is 1
        await claim(stores)
        await expire(sql)
    assert await claim(stores) == []
    ended = await stores.jobs.get(job.id)
    assert ended.outcome.failure == Failure("attempts_exhausted", "Begun 2 times without an end.")
    assert [lease.job.id for lease in await claim(stores)] == [after.id]


async def test_a_job_that_was_put_back_is_overtaken_by_one_of_higher_priority(stores):
    await stores.jobs.submit([low := request("ann")])
    (lease,) = await claim(stores)
    await stores.jobs.submit([high := request("ann", priority=1)])
    assert await claim(stores) == []
    await stores.jobs.release(lease)
    (lease,) = await claim(stores, 9)
    assert lease.job.id == high.id
    await stores.jobs.finish(lease, DONE)
    assert [lease.job.id for lease in await claim(stores, 9)] == [low.id]


async def test_a_job_that_is_tried_again_later_keeps_its_users_others_waiting(stores, sql):
    await stores.jobs.submit([first := request("ann"), request("ann"), other := request("bob")])
    lease = (await claim(stores, 9))[0]
    assert await stores.jobs.retry(lease, AWAY.failure, 60.0)
    assert await claim(stores, 9) == []
    await sql.execute("UPDATE jobs SET run_at = now() WHERE id = $1", first.id)
    assert [lease.job.id for lease in await claim(stores, 9)] == [first.id]
    assert (await stores.jobs.get(other.id)).state == "running"


async def test_the_most_urgent_and_then_the_oldest_come_first(stores):
    jobs = [request(priority=priority) for priority in (0, 2, 1, 2)]
    await stores.jobs.submit(jobs)
    order = [jobs.index(lease.job.request) for limit in (1, 2, 9) for lease in await claim(stores, limit)]
    assert order == [1, 3, 2, 0]
