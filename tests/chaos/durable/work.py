"""Requests by HTTP and by Kafka, sent until they are accepted."""

import asyncio
import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.chaos.durable.outside import Outside
from tests.integration.kafka.messages import PARTITIONS
from tests.integration.kafka.raw import produce
from tests.unit.gateway.kafka.batches import built

Way = Literal["http", "kafka"]
USERS = 40
_BUSY = frozenset({429, 502, 503, 504})


@dataclass(frozen=True)
class Errand:
    """One request, and what must become of it: `photo` names the masks it must get, or None where it must fail.

    One with a `partition` is put there as a record that no client can decode.
    """

    way: Way
    number: int
    photo: str | None
    message: bytes
    poison: bool = False
    partition: int | None = None

    @property
    def request_id(self) -> str:
        return f"{self.way}-{self.number}"


def errands(way: Way, count: int, outside: Outside) -> Iterator[Errand]:
    """Photos inside the message and by URL in turn; every tenth shows nobody, every fifteenth message is malformed."""
    names = [name for name in outside.photos if name != "nobody"]
    for number in range(count):
        if way == "kafka" and number % 15 == 14:
            yield Errand(way, number, None, b'{"user_id": "1", "image": ' + str(number).encode(), poison=True)
            continue
        photo = "nobody" if number % 10 == 9 else names[number % len(names)]
        yield Errand(way, number, None if photo == "nobody" else photo, _message(way, number, photo, outside))


def unreadable(first_number: int) -> Iterator[Errand]:
    """One for each partition."""
    for partition in PARTITIONS:
        number = first_number + partition
        yield Errand("kafka", number, None, f"unreadable {number}".encode(), poison=True, partition=partition)


def _message(way: Way, number: int, photo: str, outside: Outside) -> bytes:
    url = {"type": "url", "data": outside.photo_url(photo)}
    inside = {"type": "base64", "data": base64.b64encode(outside.photos[photo]).decode()}
    fields: dict[str, object] = {
        "user_id": f"{way}-user-{number % USERS}",
        "request_id": f"{way}-{number}",
        "gender": "M",
        "mask_types": ["upper_body"],
        "image": url if number % 3 == 0 else inside,
    }
    if way == "http":
        fields["callback_url"] = outside.webhook_url
    return json.dumps(fields).encode()


@dataclass(frozen=True)
class Senders:
    """Both ways in. A request counts as accepted once it was answered 2xx, or acknowledged by the broker."""

    gateway: str
    kafka: str
    producer: AIOKafkaProducer
    topic: str
    accepted: dict[str, Errand]

    async def send(self, errand: Errand) -> None:
        if errand.way == "kafka":
            while not await self._acknowledged(errand):
                await asyncio.sleep(0.3)
        else:
            await self._post(errand)
        self.accepted[errand.request_id] = errand

    async def _post(self, errand: Errand) -> None:
        async with httpx.AsyncClient(base_url=self.gateway, timeout=40) as client:
            while not await _posted(client, errand.message):
                await asyncio.sleep(0.3)  # the caller's own pause, not a wait for a condition

    async def _acknowledged(self, errand: Errand) -> bool:
        try:
            if errand.partition is None:
                await self.producer.send_and_wait(self.topic, errand.message, key=errand.request_id.encode())
            else:
                await produce(self.kafka, self.topic, errand.partition, built([errand.message], bad=[0]))
        except (KafkaError, AssertionError):  # the latter says that it took too long
            return False
        return True


async def _posted(client: httpx.AsyncClient, message: bytes) -> bool:
    try:
        answer = await client.post("/v1/jobs", content=message, headers={"content-type": "application/json"})
    except httpx.TransportError:
        return False
    assert answer.status_code in {200, 202, *_BUSY}, answer.text
    return answer.is_success


def by_request(bodies: Mapping[str, list[bytes]]) -> Mapping[str, list[bytes]]:
    """Webhook bodies by the request they tell of."""
    found: dict[str, list[bytes]] = {}
    for copies in bodies.values():
        found.setdefault(json.loads(copies[0])["data"]["request_id"], []).extend(copies)
    return found
