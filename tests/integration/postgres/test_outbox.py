from gateway.jobs.job import Callback
from gateway.jobs.outbox import Lane
from tests.integration.postgres.making import MISTAKEN, poison, request
from tests.outboxes import take_due

TOPIC, HOOK = Lane("message", "mask_output", ""), Lane("webhook", "example.com:443", "")

CALLBACKS = (Callback("message", "mask_output"), Callback("webhook", "https://example.com/hook"))


async def owed(stores, count=1):
    jobs = [request(callbacks=CALLBACKS, outcome=MISTAKEN) for _ in range(count)]
    await stores.jobs.submit(jobs)
    return jobs


async def test_the_oldest_of_a_lane_come_first_and_once(stores):
    jobs = await owed(stores, 3)
    taken = [*await stores.outbox.take({TOPIC: 2, HOOK: 1}, 60.0), *await take_due(stores.outbox, 60.0)]
    assert [(one.job_id, one.content.kind) for one in taken] == [
        *((jobs[0].id, "message"), (jobs[0].id, "webhook"), (jobs[1].id, "message")),
        *((jobs[1].id, "webhook"), (jobs[2].id, "message"), (jobs[2].id, "webhook")),
    ]
    assert taken[0].content.headers == {"job_id": str(jobs[0].id)}
    assert {one.attempts for one in taken} == {1}
    assert await take_due(stores.outbox, 60.0) == []


async def test_lanes_are_found_one_after_the_other_by_receiver_and_tenant(stores):
    hooks = [("https://b.test/1", "t"), ("https://b.test/2", "t"), ("https://b.test/3", ""), ("http://a.test", "")]
    await stores.jobs.submit(
        [request(callbacks=(Callback("webhook", url),), tenant=tenant, outcome=MISTAKEN) for url, tenant in hooks]
    )
    a, b, b_of_t = (
        Lane("webhook", "a.test:80", ""),
        Lane("webhook", "b.test:443", ""),
        Lane("webhook", "b.test:443", "t"),
    )
    assert await stores.outbox.lanes("webhook", None, 9) == {a: 1, b: 1, b_of_t: 2}
    assert await stores.outbox.lanes("webhook", a, 1) == {b: 1}
    assert await stores.outbox.lanes("webhook", b_of_t, 9) == await stores.outbox.lanes("upload", None, 9) == {}
    assert [one.content.lane for one in await stores.outbox.take({b_of_t: 1}, 60.0)] == [b_of_t]
    assert await stores.outbox.lanes("webhook", b, 9) == {b_of_t: 1}


async def test_a_taken_delivery_stays_in_the_lane_it_was_taken_from(stores, sql):
    await owed(stores)
    await sql.execute("UPDATE deliveries SET receiver = 'as a version before wrote it' WHERE kind = 'webhook'")
    (lane,) = await stores.outbox.lanes("webhook", None, 9)
    (taken,) = await stores.outbox.take({lane: 1}, 60.0)
    assert taken.content.lane == lane


async def test_deliveries_of_a_dead_relay_go_to_others(stores):
    await owed(stores)
    await take_due(stores.outbox, 0.0, "message")
    (again,) = await take_due(stores.outbox, 0.0, "message")
    assert again.attempts == 2


async def test_the_lease_of_a_delivery_under_way_can_be_renewed(stores):
    await owed(stores)
    message, webhook = await take_due(stores.outbox, 0.0)
    assert await stores.outbox.renew([message], 60.0) == {message.id}
    (again,) = await take_due(stores.outbox, 60.0)
    assert again.id == webhook.id


async def test_a_relay_that_lost_a_delivery_cannot_change_it(stores, sql):
    await owed(stores)
    lost, _ = await take_due(stores.outbox, 0.0)
    taken, _ = await take_due(stores.outbox, 60.0)
    assert taken.id == lost.id
    assert await stores.outbox.renew([lost], 900.0) == frozenset()
    assert not await stores.outbox.postpone(lost, "late", 0.0)
    assert not await stores.outbox.give_up(lost, "late")
    (now,) = await sql.fetch("SELECT state, run_at, last_error FROM deliveries WHERE id = $1", lost.id)
    assert tuple(now) == ("pending", taken.run_at, None)


async def test_a_postponed_delivery_is_due_later(stores):
    (job,) = await owed(stores)
    message, webhook = await take_due(stores.outbox, 60.0)
    await stores.outbox.postpone(message, "busy", 0.0)
    await stores.outbox.postpone(webhook, "busy", 60.0)
    (due,) = await take_due(stores.outbox, 60.0)
    assert (due.id, due.last_error) == (message.id, "busy")
    assert [one.state for one in await stores.outbox.of_job(job.id)] == ["pending", "pending"]


async def test_a_given_up_delivery_can_be_sent_again(stores):
    (job,) = await owed(stores)
    message, webhook = await take_due(stores.outbox, 0.0)
    await stores.outbox.delivered([message.id])
    await stores.outbox.give_up(webhook, "gone")
    ended = await stores.outbox.of_job(job.id)
    assert [(one.state, one.last_error) for one in ended] == [("delivered", None), ("failed", "gone")]
    assert all(one.ended_at for one in ended)
    assert await take_due(stores.outbox, 60.0) == []
    assert await stores.outbox.resend(job.id) == 1
    assert await stores.outbox.resend(job.id) == 0
    (again,) = await take_due(stores.outbox, 60.0)
    assert (again.id, again.attempts, again.content.body) == (webhook.id, 1, webhook.content.body)


async def test_a_delivery_without_a_job_is_forgotten_when_it_is_given_up(stores, sql):
    (job,) = await owed(stores)
    await stores.jobs.submit([], [poison(b"large")])
    for one in await take_due(stores.outbox, 60.0):
        await stores.outbox.give_up(one, "gone")
    rows = await sql.fetch("SELECT job_id, state FROM deliveries")
    assert [tuple(row) for row in rows] == [(job.id, "failed")] * 2


async def test_bodies_that_were_delivered_are_not_kept(stores, sql):
    await owed(stores)
    await stores.jobs.submit([], [poison(b"large")])
    taken = await take_due(stores.outbox, 60.0)
    await stores.outbox.delivered([one.id for one in taken])
    rows = await sql.fetch("SELECT state, body FROM deliveries")
    assert [(row["state"], row["body"]) for row in rows] == [("delivered", b"")] * 2


async def test_showing_a_job_does_not_read_its_deliveries_bodies(stores):
    (job,) = await owed(stores)
    assert [one.content.body for one in await stores.outbox.of_job(job.id)] == [b"", b""]
