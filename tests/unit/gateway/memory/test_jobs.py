from dataclasses import replace
from uuid import uuid4

import pytest

from gateway.jobs.job import RECENT_S, Callback, JobFilter, Outcome, QueueCounts, Recent, Waiting
from gateway.jobs.store import OUTBOX, REMOVAL_S, WORK
from gateway.memory import objects
from gateway.pipelines.outputs import Failure
from gateway.settings import Settings
from gateway.stores import memory_stores
from tests.outboxes import take_due
from tests.unit.gateway.memory.making import MISTAKEN, Clock, claimed, done, request, run, stores_of

AWAY = Failure("triton_unavailable", "away")
TOLD = (Callback("webhook", "https://example.com/hook"),)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stores(clock):
    return stores_of(clock, max_retries=2, lease_s=10)


async def results(stores, *jobs):
    return [(one.result, one.job.id) for one in await stores.jobs.submit(jobs)]


async def test_the_same_request_is_one_job(stores):
    job = request("ann")
    again, other = replace(job, id=uuid4()), replace(job, id=uuid4(), fingerprint=b"other")
    assert await results(stores, job, again) == [("created", job.id), ("known", job.id)]
    assert await results(stores, again, other) == [("known", job.id), ("conflict", job.id)]
    assert len(await stores.jobs.find(JobFilter())) == 1


async def test_users_do_not_share_request_ids(stores):
    ann, bob = request("ann", request_id="1"), request("bob", request_id="1")
    assert await results(stores, ann, bob) == [("created", ann.id), ("created", bob.id)]


async def test_nothing_is_kept_where_something_cannot_be(clock):
    def refuse(_job, _outcome):
        raise RuntimeError("no")

    stores = memory_stores(Settings(), refuse, clock)
    with pytest.raises(RuntimeError):
        await stores.jobs.submit([request(), request(outcome=Outcome(failure=AWAY))])
    assert await stores.jobs.find(JobFilter()) == []
    assert await take_due(stores.outbox, 1) == []


async def test_a_job_submitted_as_failed_is_finished_and_reported(stores):
    job = request(outcome=MISTAKEN, callbacks=TOLD)
    await stores.jobs.submit([job])
    kept = await stores.jobs.get(job.id)
    assert (kept.state, kept.attempts, kept.outcome.failure) == ("failed", 0, MISTAKEN.failure)
    assert kept.finished_at is not None
    assert [one.content.body for one in await take_due(stores.outbox, 1)] == [b"failed failed"]
    assert await claimed(stores) == []


async def test_jobs_are_claimed_by_priority_and_age(stores):
    jobs = [request(priority=priority) for priority in (0, 5, 0, 5)]
    await stores.jobs.submit(jobs)
    assert await claimed(stores, 3) == [jobs[1].id, jobs[3].id, jobs[0].id]
    assert await claimed(stores, 3) == [jobs[2].id]


async def test_tenants_take_turns_and_priority_orders_within_one(stores):
    flood = [request(tenant="acme", priority=10) for _ in range(50)]
    late, urgent = request(tenant="globex", priority=-10), request(tenant="globex", priority=-9)
    await stores.jobs.submit([*flood, late, urgent])
    assert await claimed(stores, 3) == [flood[0].id, urgent.id, flood[1].id]
    assert await claimed(stores, 1) == [late.id]
    assert await claimed(stores, 3) == [job.id for job in flood[2:5]]


async def test_tenants_with_equally_many_running_jobs_take_turns_by_name(stores):
    jobs = {tenant: request(tenant=tenant) for tenant in ("c", "a", "", "b")}
    await stores.jobs.submit(list(jobs.values()))
    leases = await stores.jobs.claim("worker", 1, 10, after="a")
    leases += await stores.jobs.claim("worker", 2, 10, after="b")
    leases += await stores.jobs.claim("worker", 2, 10, after="")
    assert [lease.job.request.tenant for lease in leases] == ["b", "c", "", "a"]


async def test_a_users_jobs_run_one_after_the_other(stores):
    first, second, other = request("ann"), request("ann"), request("bob")
    await stores.jobs.submit([first, second, other])
    assert await claimed(stores) == [first.id, other.id]
    assert await claimed(stores) == []
    await stores.jobs.cancel(first.id)
    assert await claimed(stores) == [second.id]


async def test_a_user_may_have_several_running_jobs(clock):
    stores = stores_of(clock, user_concurrency=2)
    jobs = [request("ann") for _ in range(3)]
    await stores.jobs.submit(jobs)
    assert await claimed(stores) == [job.id for job in jobs[:2]]


async def test_a_users_urgent_job_overtakes_those_that_wait_but_not_the_one_that_runs(stores):
    running, waiting, urgent = request("ann"), request("ann"), request("ann", priority=9)
    await stores.jobs.submit([running])
    lease = (await stores.jobs.claim("worker", 1, 10))[0]
    await stores.jobs.submit([waiting, urgent])
    assert await claimed(stores) == []
    await stores.jobs.finish(lease, done(lease.job))
    assert await claimed(stores) == [urgent.id]


async def test_a_job_that_waits_for_its_next_attempt_keeps_its_users_later_ones_waiting(stores, clock):
    first, second = request("ann"), request("ann")
    await stores.jobs.submit([first, second])
    lease = (await stores.jobs.claim("worker", 1, 10))[0]
    assert await stores.jobs.retry(lease, AWAY, 30)
    assert await claimed(stores) == []
    clock.forward(30)
    assert await claimed(stores) == [first.id]
    assert (await stores.jobs.get(first.id)).last_failure == AWAY


async def test_a_job_with_an_expired_lease_goes_to_another_worker(stores, clock):
    await stores.jobs.submit([request()])
    first = (await stores.jobs.claim("one", 1, 10))[0]
    clock.forward(9.9)
    assert await claimed(stores) == []
    clock.forward(0.1)
    second = (await stores.jobs.claim("other", 1, 10))[0]
    assert second.job.attempts == 2
    assert not await stores.jobs.finish(first, done(first.job))
    assert not await stores.jobs.retry(first, AWAY, 0)
    assert not await stores.jobs.release(first)
    assert await stores.jobs.renew("one", 1, [first.token], 10) == frozenset()
    assert await stores.jobs.finish(second, done(second.job))


async def test_a_renewed_lease_holds(stores, clock):
    await stores.jobs.submit([request()])
    lease = (await stores.jobs.claim("worker", 1, 10))[0]
    clock.forward(9)
    assert await stores.jobs.renew("worker", 4, [lease.token, uuid4()], 10) == {lease.token}
    clock.forward(9)
    assert await claimed(stores) == []
    assert await stores.jobs.finish(lease, done(lease.job))


async def test_a_job_has_one_outcome(stores):
    await stores.jobs.submit([request(callbacks=TOLD)])
    lease = (await stores.jobs.claim("worker", 1, 10))[0]
    outcome = done(lease.job)
    assert await stores.jobs.finish(lease, outcome)
    assert not await stores.jobs.finish(lease, MISTAKEN)
    assert (await stores.jobs.cancel(lease.job.id)).outcome == outcome
    assert [one.content.body for one in await take_due(stores.outbox, 1)] == [b"completed completed"]


async def test_a_job_handed_back_is_due_at_once_and_counts_as_not_started(stores):
    job = request()
    await stores.jobs.submit([job])
    for _ in range(5):
        lease = (await stores.jobs.claim("worker", 1, 10))[0]
        assert lease.job.attempts == 1
        assert await stores.jobs.release(lease)
    assert (await stores.jobs.get(job.id)).attempts == 0


async def test_a_job_whose_workers_die_again_and_again_fails(stores, clock):
    job = request(callbacks=TOLD)
    await stores.jobs.submit([job])
    for _ in range(3):
        assert await claimed(stores) == [job.id]
        clock.forward(10)
    assert await claimed(stores) == []
    kept = await stores.jobs.get(job.id)
    assert (kept.state, kept.attempts) == ("failed", 3)
    assert kept.outcome.failure == Failure("attempts_exhausted", "Begun 3 times without an end.")
    assert len(await take_due(stores.outbox, 1)) == 1


async def test_a_cancelled_job_cannot_be_ended_by_its_worker(stores):
    job = request(callbacks=TOLD)
    await stores.jobs.submit([job])
    lease = (await stores.jobs.claim("worker", 1, 10))[0]
    cancelled = await stores.jobs.cancel(job.id)
    assert (cancelled.state, cancelled.outcome.failure.code) == ("failed", "cancelled")
    assert not await stores.jobs.finish(lease, done(lease.job))
    assert len(await take_due(stores.outbox, 1)) == 1
    assert await stores.jobs.cancel(uuid4()) is None


async def test_a_deleted_job_is_hidden_until_it_is_removed(stores, clock):
    job = request("ann", callbacks=TOLD)
    await stores.jobs.submit([job])
    assert await stores.jobs.delete(job.id)
    assert await stores.jobs.delete(job.id) is None
    assert await stores.jobs.get(job.id) is None
    assert (await stores.jobs.deleting(job.id)).state == "deleting"
    assert [one.id for one in await stores.jobs.find(JobFilter(deleting=True))] == [job.id]
    assert [one.id for one in await stores.jobs.find(JobFilter(state="deleting"))] == [job.id]
    assert await stores.jobs.cancel(job.id) is None
    assert await stores.jobs.find(JobFilter()) == []
    assert await stores.jobs.counts() == QueueCounts(0, 0, 0)
    assert await stores.jobs.removable(10, 5) == []
    clock.forward(REMOVAL_S)
    assert [one.id for one in await stores.jobs.removable(10, 5)] == [job.id]
    assert await stores.jobs.removable(10, 5) == []
    assert await stores.jobs.remove([job.id]) == {job.id}
    assert await stores.jobs.deleting(job.id) is None
    clock.forward(3600)
    assert await stores.jobs.removable(10, 5) == []
    assert len(await take_due(stores.outbox, 1)) == 1


async def test_only_deleted_jobs_are_removed(stores):
    job = request()
    await stores.jobs.submit([job])
    await run(stores)
    await stores.jobs.remove([job.id])
    assert await stores.jobs.get(job.id) is not None


async def test_a_deleted_jobs_request_id_is_free(stores):
    job = request("ann")
    await stores.jobs.submit([job])
    await stores.jobs.delete(job.id)
    assert await results(stores, job) == [("known", job.id)]
    other = replace(job, id=uuid4(), fingerprint=b"other")
    assert await results(stores, other) == [("created", other.id)]
    await stores.jobs.remove([job.id])
    assert await results(stores, other) == [("known", other.id)]


async def test_jobs_expire_after_the_retention(stores, clock):
    old, young = request(), request()
    await stores.jobs.submit([old])
    await run(stores)
    clock.forward(24 * 3600)
    await stores.jobs.submit([young])
    await run(stores)
    assert await stores.jobs.expire(1) == 1
    assert await stores.jobs.expire(1) == 0
    assert [job.id for job in await stores.jobs.find(JobFilter())] == [young.id]
    assert [job.id for job in await stores.jobs.removable(10, 0)] == [old.id]


async def test_a_removal_that_fails_is_tried_again_less_and_less_often(stores, clock):
    job = request()
    await stores.jobs.submit([job])
    await stores.jobs.delete(job.id)
    for pause_s in (5, 10, 20, 40, 80, 160, 320, 600, 600):
        await stores.jobs.postpone_removal(job.id, "S3 keeps it")
        clock.forward(pause_s - 1)
        assert await stores.jobs.removable(10, 0) == []
        clock.forward(1)
        (removable,) = await stores.jobs.removable(10, 0)
        assert removable.last_failure == Failure("storage_unavailable", "S3 keeps it")


async def test_jobs_are_found_the_newest_first_page_by_page(stores):
    jobs = [request(user, pipeline=pipeline) for user in ("ann", "bob") for pipeline in ("body_masks", "detect")]
    await stores.jobs.submit(jobs)
    await stores.jobs.cancel(jobs[0].id)

    async def found(**wanted):
        return [jobs.index(job.request) for job in await stores.jobs.find(JobFilter(**wanted))]

    assert await found() == [3, 2, 1, 0]
    assert await found(limit=2) == [3, 2]
    assert await found(before=(await stores.jobs.get(jobs[2].id)).sequence) == [1, 0]
    assert await found(user_id="ann") == [1, 0]
    assert await found(request_id=jobs[2].request_id) == [2]
    assert await found(pipeline="detect", user_id="bob") == [3]
    assert await found(state="failed") == [0]
    assert await found(user_id="") == []


async def test_counts_tell_jobs_by_state_and_what_live_workers_can_do(stores, clock):
    await stores.jobs.submit([request() for _ in range(4)])
    await stores.jobs.renew("one", 4, [], 10)
    await stores.jobs.renew("two", 2, [], 10)
    leases = await stores.jobs.claim("one", 2, 100)
    await stores.jobs.finish(leases[0], MISTAKEN)
    assert await stores.jobs.counts() == QueueCounts(queued=2, running=1, workers=6)
    assert await stores.jobs.finished() == 1
    clock.forward(20)
    await stores.jobs.renew("two", 3, [], 10)
    clock.forward(20)
    assert (await stores.jobs.counts()).workers == 3


async def test_each_change_of_a_job_is_notified(stores):
    job = request(callbacks=TOLD)
    signals = stores.signals
    with signals.subscribe(str(job.id)) as of_job, signals.subscribe(WORK) as work, signals.subscribe(OUTBOX) as outbox:
        await stores.jobs.submit([job])
        assert await work.wait(0)
        lease = (await stores.jobs.claim("worker", 1, 10))[0]
        assert await of_job.wait(0)
        assert not await work.wait(0)
        await stores.jobs.release(lease)
        assert await of_job.wait(0)
        assert await work.wait(0)
        assert not await outbox.wait(0)
        await stores.jobs.cancel(job.id)
        assert await of_job.wait(0)
        assert await outbox.wait(0)


async def test_finished_jobs_are_bounded_in_number(stores, monkeypatch):
    monkeypatch.setattr(objects, "_FINISHED_KEPT", 2)
    jobs = [request(callbacks=TOLD) for _ in range(4)]
    await stores.jobs.submit(jobs)
    await run(stores)
    assert [job.request for job in await stores.jobs.find(JobFilter())] == [jobs[3], jobs[2]]
    assert len(await take_due(stores.outbox, 1)) == 2


async def test_without_messages_there_are_no_dead_letters(stores):
    await stores.jobs.submit([request(outcome=Outcome(failure=AWAY))])
    assert await stores.dead_letters.entries(10) == []
    assert (await stores.dead_letters.standing(), await stores.dead_letters.prune(1)) == (Waiting(), 0)
    assert not await stores.dead_letters.replay(1)
    assert not await stores.dead_letters.replay_job(uuid4(), uuid4())
    assert not await stores.dead_letters.drop(1)


async def test_a_job_does_not_end_if_its_messages_cannot_be_made(clock):
    def refuse(_job, _outcome):
        raise RuntimeError("no")

    stores = memory_stores(Settings(), refuse, clock)
    await stores.jobs.submit([request()])
    lease = (await stores.jobs.claim("worker", 1, 10))[0]
    with pytest.raises(RuntimeError):
        await stores.jobs.finish(lease, Outcome())
    assert (await stores.jobs.get(lease.job.id)).state == "running"
    assert await stores.jobs.release(lease)


async def test_ended_jobs_are_counted_for_a_minute(stores, clock):
    assert await stores.jobs.recent() == Recent(0, 0, None)
    assert (Recent(0, 0, None).success_rate, Recent(0, 0, None).per_second) == (None, 0)
    await stores.jobs.submit([request(outcome=MISTAKEN), request()])
    (lease,) = await stores.jobs.claim("worker", 10, 60)
    clock.forward(8)
    await stores.jobs.finish(lease, Outcome())
    lately = await stores.jobs.recent()
    assert lately == Recent(1, 1, 8.0)
    assert (lately.success_rate, lately.per_second) == (0.5, 2 / RECENT_S)
    clock.forward(RECENT_S - 4)
    assert await stores.jobs.recent() == Recent(1, 0, 8.0)


async def test_jobs_that_came_together_are_found_in_their_order(stores):
    batch, others = uuid4(), request(batch_id=uuid4())
    jobs = [request(batch_id=batch, outcome=MISTAKEN if number % 2 else None) for number in range(5)]
    await stores.jobs.submit([*jobs, others, request()])
    found = await stores.jobs.find(JobFilter(batch_id=batch))
    assert [job.id for job in reversed(found)] == [job.id for job in jobs]
    assert await stores.jobs.find(JobFilter(batch_id=batch, tenant="acme")) == []
