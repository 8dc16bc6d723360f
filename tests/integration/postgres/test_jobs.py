import json
from dataclasses import replace
from uuid import uuid4

import pytest

from gateway.background import Signals
from gateway.jobs.job import Callback, JobFilter, Outcome
from gateway.pipelines.outputs import Failure
from gateway.settings.settings import MASK_TYPES
from gateway.stores import open_postgres
from tests.integration.postgres.making import AWAY, DONE, LEASE_S, MISTAKEN, announce, masks, request
from tests.outboxes import take_due

MESSAGE = Callback("message", "mask_output")


async def claim(stores, limit=1):
    return await stores.jobs.claim("worker", limit, LEASE_S)


async def run(stores, outcome=DONE):
    """Claim one job and end it."""
    (lease,) = await claim(stores)
    assert await stores.jobs.finish(lease, outcome)
    return lease.job


async def test_a_job_comes_back_as_it_was_given(stores):
    given = request(
        "ann",
        parameters='{"z":  1, "a": "\\u0000"}',
        gender="f\N{LATIN SMALL LETTER E WITH ACUTE}m",
        callbacks=(MESSAGE, Callback("webhook", "https://example.com/hook")),
        priority=-2,
    )
    await stores.jobs.submit([given])
    job = await stores.jobs.get(given.id)
    assert job.request == replace(given, parameters="")
    (lease,) = await claim(stores)
    assert lease.job.request == given
    assert (job.state, job.attempts, job.started_at, job.outcome, job.last_failure) == ("queued", 0, None, None, None)


@pytest.mark.parametrize("stored", [False, True])
async def test_parameters_are_read_for_work_alone(stores, stored):
    """Those of a version that kept them in the row, however large, are worked on as ever."""
    text = json.dumps({"segmentation_map": "A" * 5_000_000})
    given = request("ann", parameters="" if stored else text, parameters_stored=stored, outcome=None)
    (submission,) = await stores.jobs.submit([given])
    (known,) = await stores.jobs.submit([replace(given, id=uuid4())])
    (lease,) = await claim(stores)
    assert lease.job.request == given
    assert await stores.jobs.parameters(given.id) == given.parameters
    shown = [submission.job, known.job, await stores.jobs.get(given.id), *await stores.jobs.find(JobFilter())]
    assert await stores.jobs.finish(lease, DONE)
    shown += [await stores.jobs.cancel(given.id), await stores.jobs.delete(given.id)]
    shown += [await stores.jobs.deleting(given.id)]
    assert [job.request for job in shown] == [replace(given, parameters="")] * len(shown)


async def test_job_lists_omit_large_results(stores):
    for name, some in (("small", 20), ("large", 20_000)):
        await stores.jobs.submit([request(name)])
        (lease,) = await claim(stores)
        found = {"detections": [uuid4().hex for _ in range(some)]}
        assert await stores.jobs.finish(lease, Outcome(found))
    large, small = await stores.jobs.find(JobFilter())
    assert (len(small.outcome.result["detections"]), large.outcome.result) == (20, {})
    assert (await stores.jobs.get(large.id)).outcome.result == found


async def test_text_that_no_column_can_hold_is_replaced(stores):
    await stores.jobs.submit([request(gender="a\0\ud800")])
    (lease,) = await claim(stores)
    assert lease.job.request.gender == "a\N{REPLACEMENT CHARACTER}?"
    assert await stores.jobs.finish(lease, type(DONE)({"note": "\0\ud800"}, failure=Failure("no_person", "\0")))
    job = await stores.jobs.get(lease.job.id)
    assert job.outcome.result == {"note": "\0\ud800"}
    assert job.outcome.failure == Failure("no_person", "\N{REPLACEMENT CHARACTER}")


async def test_ending_a_job_twice_with_one_lease_succeeds(stores):
    await stores.jobs.submit([request(callbacks=(MESSAGE,))])
    (lease,) = await claim(stores)
    assert await stores.jobs.finish(lease, DONE)
    assert await stores.jobs.finish(lease, AWAY)
    job = await stores.jobs.get(lease.job.id)
    assert job.outcome == DONE
    assert len(await stores.outbox.of_job(job.id)) == 1


async def test_putting_a_job_back_twice_with_one_lease_succeeds(stores):
    await stores.jobs.submit([request()])
    (lease,) = await claim(stores)
    assert await stores.jobs.release(lease)
    assert await stores.jobs.release(lease)
    (lease,) = await claim(stores)
    assert lease.job.attempts == 1
    assert await stores.jobs.retry(lease, AWAY.failure, 0.0)
    assert await stores.jobs.retry(lease, AWAY.failure, 0.0)
    job = await stores.jobs.get(lease.job.id)
    assert (job.state, job.attempts, job.last_failure) == ("queued", 1, AWAY.failure)


async def test_a_batch_is_kept_whole_or_not_at_all(settings):
    def refuse(_job, _outcome):
        raise ValueError("no announcement")

    jobs = [request("ann"), request("bob", outcome=MISTAKEN)]
    async with open_postgres(settings, refuse, Signals()) as stores:
        with pytest.raises(ValueError, match="no announcement"):
            await stores.jobs.submit(jobs)
        assert await stores.jobs.find(JobFilter()) == []
    async with open_postgres(settings, announce, Signals()) as stores:
        assert [one.result for one in await stores.jobs.submit(jobs)] == ["created", "created"]


async def test_the_same_message_after_its_job_was_deleted_is_no_new_job(stores):
    given = request("ann")
    await stores.jobs.submit([given])
    await stores.jobs.delete(given.id)
    (submission,) = await stores.jobs.submit([given])
    assert submission.job.outcome.failure.code == "cancelled"
    assert await claim(stores) == []


async def test_columns_added_by_a_newer_version_do_no_harm(stores, sql):
    for number in range(2):
        await stores.jobs.submit([job := request("ann", outcome=MISTAKEN), request("ann")])
        await run(stores)
        await stores.jobs.cancel(job.id)
        await sql.execute(f"ALTER TABLE jobs ADD COLUMN newer_{number} integer")


async def test_jobs_are_found_by_their_fields(stores):
    jobs = [request("ann"), request("bob", pipeline="detect"), request("ann"), request("ann")]
    await stores.jobs.submit(jobs)
    await stores.jobs.cancel(jobs[3].id)

    async def found(**filters):
        ids = [job.id for job in jobs]
        return [ids.index(job.id) for job in await stores.jobs.find(JobFilter(**filters))]

    assert await found() == [3, 2, 1, 0]
    assert await found(limit=2) == [3, 2]
    assert await found(user_id="ann", state="queued") == [2, 0]
    assert await found(pipeline="detect") == [1]
    assert await found(request_id=jobs[2].request_id) == [2]
    newest = (await stores.jobs.find(JobFilter(limit=1)))[0]
    assert await found(before=newest.sequence) == [2, 1, 0]


async def test_the_counts(stores, sql):
    await stores.jobs.submit([request(), request(), request()])
    await claim(stores, 2)
    await stores.jobs.cancel((await stores.jobs.find(JobFilter(state="running")))[0].id)
    await stores.jobs.renew("left", 3, [], LEASE_S)
    await stores.jobs.renew("right", 4, [], LEASE_S)
    await stores.jobs.renew("right", 5, [], LEASE_S)
    await stores.jobs.renew("dead", 7, [], LEASE_S)
    await sql.execute("UPDATE workers SET seen_at = now() - $1 * interval '1s' WHERE worker = 'dead'", 3.1 * LEASE_S)
    counts = await stores.jobs.counts()
    assert (counts.queued, counts.running, counts.workers) == (1, 1, 8)
    assert await stores.jobs.finished() == 1


async def test_long_dead_workers_are_forgotten(stores, sql):
    await stores.jobs.renew("dead", 7, [], LEASE_S)
    await sql.execute("UPDATE workers SET seen_at = now() - interval '2 days'")
    await stores.jobs.renew("left", 3, [], LEASE_S)
    assert [row["worker"] for row in await sql.fetch("SELECT worker FROM workers")] == ["left"]


async def test_old_jobs_expire_and_are_forgotten(stores, sql):
    old, new = request("ann"), request("ann")
    await stores.jobs.submit([old, new])
    await run(stores, masks("dress"))
    await sql.execute("UPDATE jobs SET finished_at = now() - interval '3 days' WHERE id = $1", old.id)
    assert await stores.jobs.expire(4) == 0
    assert await stores.jobs.expire(2) == 1
    assert await stores.jobs.get(old.id) is None
    (removable,) = await stores.jobs.removable(10, 60.0)
    assert (removable.state, removable.outcome) == ("deleting", masks("dress"))
    assert await stores.jobs.removable(10, 60.0) == []
    assert await stores.jobs.remove([old.id, new.id]) == {old.id}
    assert [row["id"] for row in await sql.fetch("SELECT id FROM jobs")] == [new.id]
    assert await sql.fetch("SELECT user_id FROM user_mask_outputs") == []


async def test_pending_messages_of_a_forgotten_job_are_sent(stores):
    jobs = [request(callbacks=(MESSAGE,)), request(callbacks=(MESSAGE,))]
    await stores.jobs.submit(jobs)
    await stores.jobs.delete(jobs[0].id)
    taken = await take_due(stores.outbox, 0.0)
    await stores.outbox.delivered([one.id for one in taken])
    await stores.jobs.delete(jobs[1].id)
    await stores.jobs.remove([job.id for job in jobs])
    (owed,) = await take_due(stores.outbox, 0.0)
    assert (owed.job_id, owed.content.body) == (None, f"failed {jobs[1].request_id}".encode())


async def test_a_users_row_is_that_of_the_newest_job(stores, sql):
    early, late, detect = request("ann", gender="F"), request("ann"), request("ann", pipeline="detect")
    await stores.jobs.submit([early, late, detect, request("bob"), request("")])
    (first,) = [lease for lease in await claim(stores, 9) if lease.job.id == early.id]
    await stores.jobs.finish(first, masks("upper_body", "dress"))
    row = await sql.fetchrow("SELECT * FROM user_mask_outputs")
    assert (row["user_id"], row["gender"], row["request_id"]) == ("ann", "F", early.request_id)
    assert (row["upper_body_mask"], row["dress_mask"]) == ("upper_body_mask.png", "dress_mask.png")
    await run(stores, masks("baggy_lower", "ethnic_combined"))
    row = await sql.fetchrow("SELECT * FROM user_mask_outputs")
    made = {name: row[name] for name in row.keys() if name.endswith("_mask") and row[name]}  # noqa: SIM118 of a Record
    assert row["request_id"] == late.request_id
    assert made == {"baggy_lower_mask": "baggy_lower_mask.png", "ethnic_combined_mask": "ethnic_combined_mask.png"}
    await run(stores, masks("upper_body"))
    assert (await sql.fetchrow("SELECT * FROM user_mask_outputs"))["request_id"] == late.request_id


@pytest.mark.parametrize(
    ("said", "kept"), [("male", "M"), (" FEMALE ", "F"), ("F", "F"), ("diverse", "diverse"), (None, None)]
)
async def test_a_users_gender_is_kept_in_one_way_however_it_was_said(stores, sql, said, kept):
    await stores.jobs.submit([request("ann", gender=said)])
    await run(stores, masks("dress"))
    assert await sql.fetchval("SELECT gender FROM user_mask_outputs") == kept


async def test_the_users_rows_are_one_tenants(settings, sql):
    async with open_postgres(settings.model_copy(update={"kafka_tenant": "acme"}), announce, Signals()) as stores:
        own = request("ann", tenant="acme")
        await stores.jobs.submit(
            [own, request("ann", tenant="globex"), request("ann"), request("bob", tenant="globex")]
        )
        await run(stores, masks("dress"))
        assert [dict(row) for row in await sql.fetch("SELECT user_id, request_id FROM user_mask_outputs")] == [
            {"user_id": "ann", "request_id": own.request_id}
        ]
        gone = [job.id for tenant in ("globex", "") for job in await stores.jobs.find(JobFilter(tenant=tenant))]
        for job_id in gone:
            await stores.jobs.delete(job_id)
        await stores.jobs.remove(gone)
        assert await sql.fetchval("SELECT count(*) FROM user_mask_outputs") == 1
        await stores.jobs.delete(own.id)
        await stores.jobs.remove([own.id])
        assert await sql.fetchval("SELECT count(*) FROM user_mask_outputs") == 0


async def test_a_message_is_recognised_after_its_tenant_was_renamed(stores):
    (first,) = await stores.jobs.submit([job := request("ann")])
    (again,) = await stores.jobs.submit([replace(job, tenant="acme")])
    assert (again.job, again.result) == (first.job, "known")


async def test_the_masks_of_everyone_leave_a_users_row_as_it_is(settings, sql):
    everyone = masks("person_0/upper_body", "person_1/upper_body")
    async with open_postgres(settings.model_copy(update={"user_concurrency": 3}), announce, Signals()) as stores:
        await stores.jobs.submit([first := request("ann"), second := request("ann"), request("ann")])
        leases = await claim(stores, 3)
        await stores.jobs.finish(leases[0], masks("dress"))
        await stores.jobs.finish(leases[2], everyone)
        assert await sql.fetchval("SELECT request_id FROM user_mask_outputs") == first.request_id
        await stores.jobs.finish(leases[1], masks("upper_body"))
        assert await sql.fetchval("SELECT request_id FROM user_mask_outputs") == second.request_id


async def test_every_mask_has_its_column(stores, sql):
    await stores.jobs.submit([request("ann")])
    await run(stores, masks(*MASK_TYPES))
    row = await sql.fetchrow("SELECT * FROM user_mask_outputs")
    assert {one: row[f"{one}_mask"] for one in MASK_TYPES} == {one: f"{one}_mask.png" for one in MASK_TYPES}


@pytest.mark.parametrize("outcome", [AWAY, masks("dress")])
async def test_an_earlier_job_does_not_overwrite_a_later_jobs_row(settings, sql, outcome):
    async with open_postgres(settings.model_copy(update={"user_concurrency": 2}), announce, Signals()) as stores:
        await stores.jobs.submit([request("ann"), late := request("ann")])
        first, second = await claim(stores, 2)
        await stores.jobs.finish(second, masks("upper_body"))
        await stores.jobs.finish(first, outcome)
    row = await sql.fetchrow("SELECT * FROM user_mask_outputs")
    assert (row["request_id"], row["dress_mask"]) == (late.request_id, None)
