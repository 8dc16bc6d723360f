"""Relays on an outbox in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from gateway.jobs.job import Callback, CallbackKind, Job, Outcome
from gateway.jobs.outbox import Delivery, DeliveryError, OutboxMessage
from gateway.metrics.instruments import DeliveryMetrics, Instruments
from gateway.stores import Stores
from gateway.worker.relay import Relay
from tests.outboxes import take_due
from tests.unit.gateway.worker.jobs import memory, with_callbacks

JOB = UUID(int=7)
MESSAGE, WEBHOOK = Callback("message", "mask_output"), Callback("webhook", "https://example.com/hook")


@dataclass
class Post:
    """A sender that does what the test says, and remembers what it was given."""

    carry: Callable[[Delivery], Awaitable[None]]
    delays: tuple[float, ...] = (0.0,) * 5
    given: list[Delivery] = field(default_factory=list)
    trouble: str | None = None

    async def deliver(self, delivery: Delivery) -> None:
        self.given.append(delivery)
        await self.carry(delivery)

    def delay_s(self, attempts: int) -> float | None:
        return self.delays[attempts - 1] if attempts <= len(self.delays) else None


class Ledger:
    """An outbox that remembers what it was told."""

    def __init__(self, stores: Stores) -> None:
        self.noted: list[int] = []
        self.lanes, self.take, self.renew = stores.outbox.lanes, stores.outbox.take, stores.outbox.renew
        self._outbox = stores.outbox

    async def delivered(self, ids) -> None:
        self.noted.extend(ids)
        await self._outbox.delivered(ids)


async def carried(_delivery: Delivery) -> None:
    """At once."""


async def hanging(_delivery: Delivery) -> None:
    await asyncio.Event().wait()


async def refused(_delivery: Delivery) -> None:
    raise DeliveryError("answered 503")


def metrics() -> DeliveryMetrics:
    return Instruments("worker").deliveries


@asynccontextmanager
async def relaying(stores: Stores, lease_s: float = 30.0, **posts: Post) -> AsyncIterator[dict[str, Relay]]:
    kinds: dict[CallbackKind, Post] = {kind: posts[kind] for kind in ("message", "webhook") if kind in posts}
    relays = {kind: Relay(kind, post, stores, lease_s, metrics()) for kind, post in kinds.items()}
    async with AsyncExitStack() as stack:
        running = [asyncio.create_task(relay.run()) for relay in relays.values()]
        stack.push_async_callback(asyncio.wait, running)
        for task in running:
            stack.callback(task.cancel)
        yield relays


async def ended_job(stores: Stores, *callbacks: Callback) -> Job:
    """A completed job, whose callbacks are in the outbox."""
    await stores.jobs.submit([with_callbacks(*callbacks)])
    (lease,) = await stores.jobs.claim("worker-1", 1, 10)
    assert await stores.jobs.finish(lease, Outcome())
    return lease.job


async def states(stores: Stores, job: Job, *expected: str) -> list[Delivery]:
    """The job's deliveries, once they are in the expected states."""

    async def wait() -> list[Delivery]:
        found = await stores.outbox.of_job(job.id)
        while [one.state for one in found] != list(expected):
            await asyncio.sleep(0.01)
            found = await stores.outbox.of_job(job.id)
        return found

    return await asyncio.wait_for(wait(), 10)


async def test_deliveries_are_sent_once() -> None:
    async with memory() as stores:
        jobs = [await ended_job(stores, MESSAGE) for _ in range(100)]
        post, ledger = Post(carried), Ledger(stores)
        async with relaying(replace(stores, outbox=ledger), message=post):
            for job in jobs:
                await states(stores, job, "delivered")
        assert [one.job_id for one in post.given] == [job.id for job in jobs]
        assert sorted(ledger.noted) == [one.id for one in post.given]


async def test_a_relay_fails_as_long_as_its_sender_has_trouble() -> None:
    async with memory() as stores:
        post = Post(carried, trouble="mask_output: silence")
        async with relaying(stores, message=post) as relays, asyncio.timeout(10):
            while relays["message"].heartbeat.failing != post.trouble:
                await asyncio.sleep(0.01)
            post.trouble = None
            while relays["message"].heartbeat.failing:
                await asyncio.sleep(0.01)


async def test_a_delivery_longer_than_its_lease_is_sent_once() -> None:
    async with memory() as stores:
        ends = asyncio.Event()
        job = await ended_job(stores, MESSAGE)

        async def slow(_delivery: Delivery) -> None:
            await ends.wait()

        post = Post(slow)
        async with relaying(stores, lease_s=5.0, message=post):
            while not post.given:
                await asyncio.sleep(0.01)
            over = post.given[0].run_at + timedelta(seconds=0.5)
            while datetime.now(UTC) < over:
                assert await take_due(stores.outbox, 30.0) == [], "another relay could take it"
                await asyncio.sleep(0.01)
            ends.set()
            await states(stores, job, "delivered")
        assert len(post.given) == 1


async def test_a_draining_relay_renews_long_deliveries() -> None:
    async with memory() as stores:
        await ended_job(stores, MESSAGE)
        post = Post(hanging)
        relay = Relay("message", post, stores, 3.0, metrics())
        draining = asyncio.create_task(relay.drain(4.0))
        while not draining.done():
            assert post.given == [] or await take_due(stores.outbox, 30.0) == [], "another relay could take it"
            await asyncio.sleep(0.01)
        assert len(post.given) == 1


async def test_a_relay_stops_a_delivery_that_another_relay_took() -> None:
    async with memory() as stores:
        job = await ended_job(stores, MESSAGE)
        ended: list[int] = []

        async def hang(delivery: Delivery) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(delivery.attempts)

        post = Post(hang)
        async with relaying(stores, lease_s=1.0, message=post):
            while not post.given:
                await asyncio.sleep(0.01)
            await stores.outbox.renew(post.given, 0.0)  # as if the relay had stood still for so long
            (taken,) = await take_due(stores.outbox, 60.0)
            async with asyncio.timeout(10):
                while not ended:
                    await asyncio.sleep(0.01)
            (delivery,) = await states(stores, job, "pending")
        assert (ended, delivery.attempts, delivery.run_at) == ([1], 2, taken.run_at)


async def test_hanging_receivers_hold_back_no_other_kind() -> None:
    async with memory() as stores:
        webhooks, messages = Post(hanging), Post(carried)
        jobs = [await ended_job(stores, WEBHOOK, MESSAGE) for _ in range(100)]
        async with relaying(stores, webhook=webhooks, message=messages):
            for job in jobs:
                await states(stores, job, "pending", "delivered")
        assert len(webhooks.given) == 4


async def test_any_number_of_receivers_that_wait_for_another_try_hold_back_no_other() -> None:
    async with memory() as stores:
        hooks = [Callback("webhook", f"https://a{number}.test") for number in range(4100)]
        await stores.jobs.submit([replace(with_callbacks(hook), outcome=Outcome()) for hook in hooks])
        assert len(await take_due(stores.outbox, 3600)) == len(hooks)
        job = await ended_job(stores, Callback("webhook", "https://zz.test"))
        async with relaying(stores, webhook=Post(carried)), asyncio.timeout(3):
            await states(stores, job, "delivered")


async def test_lanes_that_only_wait_are_checked_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.worker.relay._LANES", 2)
    async with memory() as stores:
        hooks = [Callback("webhook", f"https://a{number}.test") for number in range(5)]
        await stores.jobs.submit([replace(with_callbacks(hook), outcome=Outcome()) for hook in hooks])
        await take_due(stores.outbox, 3600)
        await ended_job(stores, Callback("webhook", "https://a22.test"))
        one = Relay("webhook", Post(carried), stores, 30.0, metrics())
        pauses = []
        for _ in range(3):
            await one._round()
            pauses.append(one._pause_s)
    assert pauses == [0.5, 0.1, 0.5]


async def test_a_delivery_recorded_before_its_task_ends_still_ends() -> None:
    carrying, errors = asyncio.Event(), []

    async def carry(_delivery: Delivery) -> None:
        carrying.set()

    async with memory() as stores:
        await ended_job(stores, MESSAGE)
        one = Relay("message", Post(carry), stores, 30.0, metrics())
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        await one._round()
        await carrying.wait()
        await one._note()
        await asyncio.sleep(0)
    assert errors == []


async def test_deliveries_of_a_kind_without_a_sender_are_left_to_other_workers() -> None:
    async with memory() as stores:
        job = await ended_job(stores, MESSAGE, WEBHOOK)
        async with relaying(stores, webhook=Post(carried)):
            (message, _) = await states(stores, job, "pending", "delivered")
        assert message.attempts == 0


async def test_a_failed_delivery_is_tried_again_with_the_same_content() -> None:
    async with memory() as stores:
        job = await ended_job(stores, WEBHOOK)
        failures = [DeliveryError("answered 503"), RuntimeError("a bug")]

        async def stumble(_delivery: Delivery) -> None:
            if failures:
                raise failures.pop()

        post = Post(stumble)
        with capture_logs() as logs:
            async with relaying(stores, webhook=post):
                (delivery,) = await states(stores, job, "delivered")
        assert delivery.attempts == 3
        assert len({(one.id, one.content.body) for one in post.given}) == 1
        assert [line["log_level"] for line in logs] == ["error", "warning", "warning"]


async def test_a_delivery_is_given_up_after_its_last_attempt() -> None:
    async with memory() as stores:
        job = await ended_job(stores, WEBHOOK)
        post = Post(refused, delays=(0.0, 0.0))
        async with relaying(stores, webhook=post):
            (delivery,) = await states(stores, job, "failed")
        assert (delivery.attempts, delivery.last_error) == (3, "answered 503")


async def test_the_log_names_the_job_and_its_trace_where_there_are_any() -> None:
    names: list[dict[str, object]] = []

    async def look(_delivery: Delivery) -> None:
        names.append(get_contextvars())

    async with memory() as stores:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        traced, bare = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, {"traceparent": "nonsense"}
        deliveries = [
            Delivery(number, job_id, OutboxMessage("message", "topic", "", b"", headers), "pending", 1, now, now)
            for number, (job_id, headers) in enumerate([(JOB, traced), (None, traced), (None, bare), (JOB, {})])
        ]
        relay = Relay("message", Post(look), stores, 30.0, metrics())
        for delivery in deliveries:
            await relay._carry(delivery)
    job_id, trace_id = {"job_id": str(JOB)}, {"trace_id": "a" * 32}
    assert names == [
        {"delivery_id": 0, **job_id, **trace_id},
        {"delivery_id": 1, **trace_id},
        {"delivery_id": 2},
        {"delivery_id": 3, **job_id},
    ]


async def test_a_lasting_refusal_is_not_tried_again() -> None:
    async def gone(_delivery: Delivery) -> None:
        raise DeliveryError("answered 410", lasting=True)

    async with memory() as stores:
        job = await ended_job(stores, WEBHOOK)
        post = Post(gone)
        async with relaying(stores, webhook=post):
            await states(stores, job, "failed")
        assert len(post.given) == 1


async def test_a_receivers_retry_after_is_respected() -> None:
    async def busy(_delivery: Delivery) -> None:
        raise DeliveryError("answered 429", retry_after_s=3600)

    async with memory() as stores:
        job = await ended_job(stores, WEBHOOK)
        async with relaying(stores, webhook=Post(busy)) as relays:
            await relays["webhook"].drain(5)
            (delivery,) = await states(stores, job, "pending")
        assert (delivery.attempts, delivery.last_error) == (1, "answered 429")
        assert (delivery.run_at - delivery.created_at).total_seconds() > 3500


async def test_draining_sends_due_deliveries_and_stops_hanging_ones() -> None:
    async with memory() as stores:
        jobs = [await ended_job(stores, MESSAGE) for _ in range(3)]
        relay = Relay("message", Post(carried), stores, 30.0, metrics())
        await relay.drain(10)
        for job in jobs:
            await states(stores, job, "delivered")
        await ended_job(stores, WEBHOOK)
        before = asyncio.all_tasks()
        await Relay("webhook", Post(hanging), stores, 30.0, metrics()).drain(0.1)
        assert asyncio.all_tasks() == before


async def test_attempts_are_counted_by_outcome() -> None:
    async with memory() as stores:
        jobs = [await ended_job(stores, MESSAGE) for _ in range(4)]
        answers = {jobs[0].id: [], jobs[1].id: [False], jobs[2].id: [True], jobs[3].id: []}

        async def carry(delivery: Delivery) -> None:
            if answers[delivery.job_id]:
                raise DeliveryError("refused", lasting=answers[delivery.job_id].pop())

        instruments = Instruments("worker")
        relay = Relay("message", Post(carry), stores, 30.0, instruments.deliveries)
        running = asyncio.create_task(relay.run())
        for job, state in zip(jobs, ("delivered", "delivered", "failed", "delivered"), strict=True):
            await states(stores, job, state)
        running.cancel()
        await asyncio.wait([running])
    assert counts(instruments) == {"delivered": 3, "retried": 1, "given_up": 1}


@pytest.mark.parametrize("lasting", [False, True])
async def test_a_failed_delivery_that_another_relay_took_is_not_counted(lasting: bool) -> None:  # noqa: FBT001
    async with memory() as stores:
        await ended_job(stores, MESSAGE)
        instruments = Instruments("worker")

        async def refuse_late(delivery: Delivery) -> None:
            await stores.outbox.renew([delivery], 0.0)
            assert await take_due(stores.outbox, 60.0)
            raise DeliveryError("late", lasting=lasting)

        post = Post(refuse_late)
        await Relay("message", post, stores, 30.0, instruments.deliveries).drain(10)
        assert len(post.given) == 1
    assert counts(instruments) == {"delivered": 0, "retried": 0, "given_up": 0}


def counts(instruments: Instruments) -> dict[str, float | None]:
    """Of messages, by status."""
    return {
        status: instruments.registry.get_sample_value("outbox_deliveries_total", {"kind": "message", "status": status})
        for status in ("delivered", "retried", "given_up")
    }
