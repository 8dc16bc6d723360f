from gateway.jobs.job import Callback
from tests.integration.postgres.making import MISTAKEN, poison, request

CALLBACKS = (Callback("message", "mask_output"), Callback("webhook", "https://example.com/hook"))


async def owed(stores, count=1):
    jobs = [request(callbacks=CALLBACKS, outcome=MISTAKEN) for _ in range(count)]
    await stores.jobs.submit(jobs)
    return jobs


async def test_the_oldest_come_first_and_once(stores):
    jobs = await owed(stores, 3)
    taken = [*await stores.outbox.take(2, 60.0), *await stores.outbox.take(99, 60.0)]
    assert [(one.job_id, one.content.kind) for one in taken] == [
        (job.id, kind) for job in jobs for kind in ("message", "webhook")
    ]
    assert taken[0].content.headers == {"job_id": str(jobs[0].id)}
    assert {one.attempts for one in taken} == {1}
    assert await stores.outbox.take(99, 60.0) == []


async def test_one_kind_alone(stores):
    await owed(stores, 2)
    assert {one.content.kind for one in await stores.outbox.take(1, 60.0, ["webhook"])} == {"webhook"}
    assert {one.content.kind for one in await stores.outbox.take(99, 60.0, ["upload", "message"])} == {"message"}
    assert len(await stores.outbox.take(99, 60.0)) == 1


async def test_a_relay_that_died_leaves_them_to_others(stores):
    await owed(stores)
    await stores.outbox.take(1, 0.0, ["message"])
    (again,) = await stores.outbox.take(1, 0.0, ["message"])
    assert again.attempts == 2


async def test_what_is_still_under_way_is_kept_from_others_for_longer(stores):
    await owed(stores)
    message, webhook = await stores.outbox.take(2, 0.0)
    await stores.outbox.renew([message.id], 60.0)
    (again,) = await stores.outbox.take(2, 60.0)
    assert again.id == webhook.id


async def test_what_is_postponed_is_due_later(stores):
    (job,) = await owed(stores)
    message, webhook = await stores.outbox.take(2, 60.0)
    await stores.outbox.postpone(message.id, "busy", 0.0)
    await stores.outbox.postpone(webhook.id, "busy", 60.0)
    (due,) = await stores.outbox.take(9, 60.0)
    assert (due.id, due.last_error) == (message.id, "busy")
    assert [one.state for one in await stores.outbox.of_job(job.id)] == ["pending", "pending"]


async def test_what_was_given_up_can_be_sent_again(stores):
    (job,) = await owed(stores)
    message, webhook = await stores.outbox.take(2, 0.0)
    await stores.outbox.delivered([message.id])
    await stores.outbox.give_up(webhook.id, "gone")
    ended = await stores.outbox.of_job(job.id)
    assert [(one.state, one.last_error) for one in ended] == [("delivered", None), ("failed", "gone")]
    assert all(one.ended_at for one in ended)
    assert await stores.outbox.take(9, 60.0) == []
    assert await stores.outbox.resend(job.id) == 1
    assert await stores.outbox.resend(job.id) == 0
    (again,) = await stores.outbox.take(9, 60.0)
    assert (again.id, again.attempts, again.content.body) == (webhook.id, 1, webhook.content.body)


async def test_what_no_job_owes_is_forgotten_when_it_is_given_up(stores, sql):
    (job,) = await owed(stores)
    await stores.jobs.submit([], [poison(b"large")])
    for one in await stores.outbox.take(9, 60.0):
        await stores.outbox.give_up(one.id, "gone")
    rows = await sql.fetch("SELECT job_id, state FROM deliveries")
    assert [tuple(row) for row in rows] == [(job.id, "failed")] * 2


async def test_bodies_that_were_delivered_are_not_kept(stores, sql):
    await owed(stores)
    await stores.jobs.submit([], [poison(b"large")])
    taken = await stores.outbox.take(9, 60.0)
    await stores.outbox.delivered([one.id for one in taken])
    rows = await sql.fetch("SELECT state, body FROM deliveries")
    assert [(row["state"], row["body"]) for row in rows] == [("delivered", b"")] * 2


async def test_the_bodies_of_a_jobs_deliveries_are_not_read(stores):
    (job,) = await owed(stores)
    assert [one.content.body for one in await stores.outbox.of_job(job.id)] == [b"", b""]
