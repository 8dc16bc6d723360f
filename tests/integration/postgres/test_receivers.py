"""Callbacks to receivers that hang, and to others beside them: relays on real outboxes, senders on real sockets."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from uuid import UUID

import pytest
from pydantic import SecretStr

from gateway.background import Signals
from gateway.jobs.job import Callback, JobFilter, Outcome, StoredArtifact
from gateway.jobs.outbox import Delivery, Lane
from gateway.jobs.outbox_messages import message_maker
from gateway.metrics.instruments import Instruments
from gateway.pipelines.outputs import Failure
from gateway.settings import Settings
from gateway.stores import memory_stores, open_postgres
from gateway.worker.relay import Relay
from gateway.worker.webhooks import open_senders
from tests.integration.postgres.making import request
from tests.web import Answer, Asked, Web, reply, serving, silence

ENDED = Outcome(failure=Failure("no_person", "none"))
NORMAL_S = 20.0
"""Far less than a receiver may hang."""
HANGS_S = 60.0
EVERYWHERE = "0.0.0.0"  # noqa: S104 the addresses of the loopback network are many hosts
OUTSIDE = {
    "allowed_networks": (ip_network("127.0.0.0/8"),),
    "webhook_secret": SecretStr("whsec_" + base64.b64encode(bytes(32)).decode()),
    "callback_timeout_s": HANGS_S,
}


@dataclass(frozen=True)
class House:
    """What a relay needs of the stores, and what hands jobs in."""

    settings: Settings
    jobs: object
    outbox: object
    signals: Signals

    async def tell(self, web: Web, count: int, tenant: str = "", host: str = "") -> None:
        """End jobs whose callbacks go to a receiver."""
        hook = Callback("webhook", web.url("/hook", host))
        await self.jobs.submit([request(callbacks=(hook,), outcome=ENDED, tenant=tenant) for _ in range(count)])


def no_link(_job_id: UUID, _artifact: StoredArtifact) -> str:
    raise AssertionError("nothing was made")


@pytest.fixture(params=["postgres", "memory"])
async def house(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    given = Settings(**{**settings.model_dump(), **OUTSIDE})
    if request.param == "memory":
        kept = memory_stores(given, message_maker(given, no_link))
        yield House(given, kept.jobs, kept.outbox, kept.signals)
        return
    signals = Signals()
    async with open_postgres(given, message_maker(given, no_link), signals) as opened:
        yield House(given, opened.jobs, opened.outbox, signals)


@asynccontextmanager
async def relaying(house: House, lease_s: float = 30.0) -> AsyncIterator[Relay]:
    async with open_senders(house.settings, no_bucket()) as senders, AsyncExitStack() as stack:
        relay = Relay("webhook", senders["webhook"], house, lease_s, Instruments("worker").deliveries)
        running = asyncio.create_task(relay.run())
        stack.push_async_callback(relay.drain, 0.0)
        stack.push_async_callback(asyncio.wait, [running])
        stack.callback(running.cancel)
        yield relay


def no_bucket() -> object:
    return object()


async def heard(web: Web, count: int) -> None:
    """Wait until a receiver was asked so often."""
    async with asyncio.timeout(NORMAL_S):
        while len(web.asked) < count:
            await asyncio.sleep(0.01)


def dripping(first: bytes, more: bytes) -> Answer:
    """An answer whose head never ends."""

    async def answer(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(more)
            await writer.drain()
            await asyncio.sleep(0.2)

    return answer


HANGING = {
    "silence": silence,
    "drip": dripping(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "interim": dripping(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
}


@pytest.fixture(params=HANGING.values(), ids=HANGING.keys())
def hang(request: pytest.FixtureRequest) -> Answer:
    return request.param


async def test_a_receiver_that_hangs_holds_back_no_other(house: House, hang: Answer) -> None:
    async with serving(hang) as hanging, serving(reply(204)) as good:
        await house.tell(hanging, 200)
        async with relaying(house):
            await heard(hanging, 1)
            await house.tell(good, 20)
            await heard(good, 20)
    assert len(hanging.asked) < 20


async def test_twenty_hanging_receivers_do_not_delay_another(house: House) -> None:
    async with AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(serving(silence)) for _ in range(20)]
        good = await stack.enter_async_context(serving(reply(204)))
        for web in hanging:
            await house.tell(web, 40)
        await stack.enter_async_context(relaying(house))
        for web in hanging:
            await heard(web, 4)
        await house.tell(good, 20)
        await heard(good, 20)


async def test_many_receivers_of_one_tenant_do_not_delay_another_tenant(house: House) -> None:
    """Each address of 127.0.0.0/8 stands for a host of its own."""
    async with serving(silence, EVERYWHERE) as hanging, serving(reply(204)) as good:
        for number in range(300):
            await house.tell(hanging, 1, "hog", f"127.0.{number // 200}.{number % 200 + 1}")
        async with relaying(house):
            await heard(hanging, 200)
            await house.tell(good, 20, "other")
            await heard(good, 20)
    assert len(hanging.asked) < 256


async def test_many_relays_make_each_delivery_once(house: House) -> None:
    async with serving(reply(204)) as good, relaying(house), relaying(house), relaying(house):
        await house.tell(good, 100)
        await heard(good, 100)
        while (await house.outbox.standing()).get("webhook", None):
            await asyncio.sleep(0.05)
    assert len(good.asked) == len({asked.headers["webhook-id"] for asked in good.asked}) == 100


async def test_a_relay_that_lost_a_delivery_stops_sending_it(house: House) -> None:
    ended = asyncio.Event()

    async def hang(asked: Asked, writer: asyncio.StreamWriter) -> None:
        try:
            await HANGING["drip"](asked, writer)
        except ConnectionError:
            ended.set()

    async with serving(hang) as web, relaying(house, lease_s=1.0):
        await house.tell(web, 1)
        await heard(web, 1)
        (lane,) = await house.outbox.lanes("webhook", None, 9)
        assert (await took(house, lane)).attempts == 2
        async with asyncio.timeout(NORMAL_S):
            await ended.wait()


async def took(house: House, lane: Lane) -> Delivery:
    """Take what a relay has under way, as if it had stood still past its lease."""
    while True:
        for job in await house.jobs.find(JobFilter()):
            (held,) = await house.outbox.of_job(job.id)
            await house.outbox.renew([held], 0.0)
        if taken := await house.outbox.take({lane: 1}, 60.0):
            return taken[0]
