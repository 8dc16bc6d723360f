from dataclasses import replace
from uuid import uuid4

import pytest

from gateway.background import Signals
from gateway.jobs.outbox import Lane, OutboxMessage
from gateway.jobs.store import OUTBOX
from gateway.memory.outbox import MemoryOutbox
from tests.outboxes import take_due
from tests.unit.gateway.memory.making import Clock

JOB = uuid4()
HOOKS = Lane("webhook", "example.com:443", "")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def outbox(clock):
    made = MemoryOutbox(Signals(), clock)
    made.add(JOB, [content("a"), content("b"), content("c", "message")])
    return made


def content(name: str, kind: str = "webhook") -> OutboxMessage:
    return OutboxMessage(kind, f"https://example.com/{name}", name, name.encode(), {"x": "y"})


async def taken(outbox, *kinds: str) -> list[str]:
    return [one.content.key for one in await take_due(outbox, 10, *kinds)]


async def test_due_deliveries_are_taken_once_the_oldest_first(outbox, clock):
    assert [one.content.key for one in await outbox.take({HOOKS: 1}, 10)] == ["a"]
    assert await taken(outbox) == ["b", "c"]
    clock.forward(9.9)
    assert await taken(outbox) == []
    clock.forward(0.1)
    assert await taken(outbox) == ["a", "b", "c"]
    assert [one.attempts for one in await outbox.of_job(JOB)] == [2, 2, 2]


async def test_the_lease_of_a_delivery_under_way_can_be_renewed(outbox, clock):
    first, second, _ = await take_due(outbox, 10)
    await outbox.delivered([second.id])
    clock.forward(9)
    gone = replace(first, id=999)
    assert await outbox.renew([first, second, gone], 10) == {first.id}
    clock.forward(9)
    assert await taken(outbox) == ["c"]
    clock.forward(1)
    assert await taken(outbox) == ["a"]


async def test_lanes_are_found_one_after_the_other_by_receiver_and_tenant(outbox, clock):
    outbox.add(None, [replace(content("d"), tenant="t"), replace(content("e"), destination="http://a.test")])
    first, own = Lane("webhook", "a.test:80", ""), Lane("webhook", "example.com:443", "t")
    assert await outbox.lanes("webhook", None, 9) == {first: 1, HOOKS: 2, own: 1}
    assert await outbox.lanes("webhook", first, 1) == {HOOKS: 2}
    assert await outbox.lanes("upload", None, 9) == {}
    assert await taken(outbox, "message") == ["c"]
    await outbox.take({HOOKS: 1}, 10)
    assert await outbox.lanes("webhook", first, 9) == {HOOKS: 1, own: 1}
    clock.forward(10)
    assert await outbox.lanes("webhook", first, 9) == {HOOKS: 2, own: 1}


async def test_a_relay_that_lost_a_delivery_cannot_change_it(outbox, clock):
    lost, *_ = await take_due(outbox, 10)
    clock.forward(10)
    again, *_ = await take_due(outbox, 10)
    assert await outbox.renew([lost], 99) == frozenset()
    await outbox.postpone(lost, "late", 0)
    await outbox.give_up(lost, "late")
    assert (await outbox.of_job(JOB))[0].run_at == again.run_at
    assert await taken(outbox) == []


async def test_a_made_delivery_is_never_taken_again(outbox, clock):
    made, *_ = await take_due(outbox, 10)
    await outbox.delivered([made.id, 999])
    clock.forward(100)
    assert await taken(outbox) == ["b", "c"]
    first = (await outbox.of_job(JOB))[0]
    assert (first.state, first.ended_at is not None, first.last_error) == ("delivered", True, None)


async def test_a_postponed_delivery_comes_again_with_the_same_content(outbox, clock):
    (first,) = await outbox.take({HOOKS: 1}, 10)
    await outbox.postpone(first, "refused", 30)
    assert await taken(outbox) == ["b", "c"]
    clock.forward(30)
    again = (await take_due(outbox, 10))[0]
    assert (again.id, again.attempts, again.last_error) == (first.id, 2, "refused")
    assert again.content == first.content


async def test_a_delivery_that_was_given_up_can_be_sent_again(outbox, clock):
    given_up, made, _ = await take_due(outbox, 10)
    first = given_up.id
    await outbox.give_up(given_up, "gone")
    await outbox.delivered([made.id])
    ended = clock.now
    clock.forward(1000)
    assert await taken(outbox) == ["c"]
    failed = (await outbox.of_job(JOB))[0]
    assert (failed.state, failed.last_error, failed.ended_at) == ("failed", "gone", ended)
    assert await outbox.resend(JOB) == 1
    assert await outbox.resend(JOB) == 0
    again = (await take_due(outbox, 10))[0]
    assert (again.id, again.attempts, again.ended_at, again.content) == (first, 1, None, content("a"))


async def test_a_job_is_shown_its_deliveries_without_their_bodies(outbox):
    assert [(one.content.key, one.content.body) for one in await outbox.of_job(JOB)] == [
        ("a", b""),
        ("b", b""),
        ("c", b""),
    ]
    assert await outbox.of_job(uuid4()) == []
    assert await outbox.resend(uuid4()) == 0


async def test_a_late_report_about_an_ended_delivery_changes_nothing(outbox):
    first, *_ = await take_due(outbox, 10)
    await outbox.delivered([first.id])
    await outbox.postpone(first, "late", 0)
    await outbox.give_up(first, "late")
    assert (await outbox.of_job(JOB))[0].state == "delivered"


async def test_deliveries_of_a_forgotten_job_are_dropped(outbox):
    first, *_ = await take_due(outbox, 10)
    outbox.forget(JOB)
    await outbox.postpone(first, "late", 0)
    await outbox.delivered([first.id])
    assert await taken(outbox) == []
    assert await outbox.of_job(JOB) == []


async def test_pending_messages_of_a_removed_job_are_sent(outbox):
    first, second = await take_due(outbox, 10, "webhook")
    await outbox.delivered([first.id])
    await outbox.give_up(second, "gone")
    outbox.detach(JOB)
    assert await outbox.of_job(JOB) == []
    (last,) = await take_due(outbox, 10)
    assert (last.job_id, last.content.body) == (None, b"c")
    await outbox.delivered([last.id])
    assert await taken(outbox) == []


async def test_a_delivery_without_a_job_is_forgotten_when_it_is_given_up(outbox):
    outbox.detach(JOB)
    for delivery in await take_due(outbox, 10):
        await outbox.give_up(delivery, "gone")
    assert outbox._deliveries == {}


async def test_a_new_delivery_is_notified(clock):
    signals = Signals()
    outbox = MemoryOutbox(signals, clock)
    with signals.subscribe(OUTBOX) as subscription:
        outbox.add(JOB, [])
        assert not await subscription.wait(0)
        outbox.add(JOB, [content("a")])
        assert await subscription.wait(0)
        await outbox.give_up((await take_due(outbox, 10))[0], "gone")
        assert not await subscription.wait(0)
        await outbox.resend(JOB)
        assert await subscription.wait(0)
