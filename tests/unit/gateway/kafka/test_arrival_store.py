"""Messages that come again after they were given up, as from the poison topic."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from uuid import uuid4

import pytest

from gateway.background import Signals
from gateway.http.openapi import tiny_png
from gateway.jobs.job import JobFilter, Outcome
from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.outbox_messages import message_maker
from gateway.jobs.store import BadMessage
from gateway.jobs.view import by_key
from gateway.kafka.messages import Arrival, ArrivalStore, Message, MessageReader
from gateway.metrics.instruments import Instruments
from gateway.pipelines.outputs import Failure
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from gateway.stores import Stores, open_postgres
from gateway.worker.retention import Removals
from tests.outboxes import take_due
from tests.servers import fresh_database
from tests.unit.gateway.worker.jobs import memory, memory_settings, new_job

PHOTO = tiny_png()
INSIDE = {"type": "base64", "data": base64.b64encode(PHOTO).decode()}
OFFSETS = count()
AWAY = Outcome(failure=Failure("triton_unavailable", "away"))
SETTINGS = memory_settings()
READER = MessageReader(SETTINGS, build_registry(SETTINGS)["body_masks"])


@dataclass
class Bench:
    stores: Stores

    async def take(self, value: bytes, headers: Mapping[str, str] | None = None) -> Message:
        """A message of the input topic comes."""
        encoded = {name: text.encode() for name, text in (headers or {}).items()}
        message = Message("mask_input", 0, next(OFFSETS), 0, b"123", value, encoded)
        await self.again(message)
        return message

    async def again(self, message: Message) -> None:
        read = READER.read(message)
        arrivals, poison = ([read], []) if isinstance(read, Arrival) else ([], [read])
        await ArrivalStore(
            self.stores.jobs, self.stores.photos, READER, Instruments("worker").tasks, self.stores.dead_letters
        ).keep(arrivals, poison)

    async def give_up(self) -> OutboxMessage:
        """The job fails in vain; what the poison topic is told."""
        (lease,) = await self.stores.jobs.claim("worker", 1, 30)
        assert await self.stores.jobs.finish(lease, AWAY)
        return (await self.told())[-1]

    async def told(self) -> list[OutboxMessage]:
        taken = await take_due(self.stores.outbox, 1000.0)
        return [one.content for one in taken if one.content.destination == SETTINGS.kafka_topic_poison]

    async def states(self) -> list[str]:
        return [job.state for job in await self.stores.jobs.find(JobFilter())]


@pytest.fixture
async def bench(postgres_dsn: str) -> AsyncIterator[Bench]:
    """A queue in PostgreSQL, as messages need one, and buckets in memory."""
    settings = Settings(postgres_dsn=fresh_database(postgres_dsn))
    messages = message_maker(settings, by_key(""))
    async with memory() as kept, open_postgres(settings, messages, Signals()) as queue:
        yield Bench(
            replace(kept, jobs=queue.jobs, locks=queue.locks, outbox=queue.outbox, dead_letters=queue.dead_letters)
        )


def asked(**changes: object) -> bytes:
    body = {"user_id": 123, "request_id": "r", "gender": "female", "mask_types": "dress", "image": INSIDE}
    return json.dumps({**body, **changes}).encode()


@pytest.mark.parametrize("image", [INSIDE, {"type": "url", "data": "https://93.184.215.14/a.jpg"}])
async def test_a_message_from_the_poison_topic_starts_again(bench: Bench, image: dict[str, str]) -> None:
    await bench.take(asked(image=image))
    given_up = await bench.give_up()
    await bench.take(given_up.body, given_up.headers)
    assert await bench.states() == ["queued"]
    assert await bench.stores.dead_letters.entries(10) == []
    (lease,) = await bench.stores.jobs.claim("worker", 1, 30)
    if lease.job.request.image.kind == "photo":
        assert (await bench.stores.photos.get(lease.job.request.image.location)).data == PHOTO
    assert len(await bench.stores.photos.keys("")) == (lease.job.request.image.kind == "photo")


async def test_under_another_id_it_is_another_job_with_a_photo_of_its_own(bench: Bench) -> None:
    await bench.take(asked())
    given_up = await bench.give_up()
    await bench.take(json.dumps({**json.loads(given_up.body), "request_id": "s"}).encode())
    newest, oldest = await bench.stores.jobs.find(JobFilter())
    assert (newest.state, oldest.state) == ("queued", "failed")
    assert (await bench.stores.photos.get(newest.request.image.location)).data == PHOTO
    assert newest.request.image.location == str(newest.id)


async def test_a_redelivered_message_starts_no_job(bench: Bench) -> None:
    message = await bench.take(asked())
    await bench.give_up()
    await bench.again(message)
    assert await bench.states() == ["failed"]


async def test_a_message_redelivered_after_its_job_ended_is_no_dead_letter(bench: Bench) -> None:
    await bench.take(asked())
    given_up = await bench.give_up()
    again = await bench.take(given_up.body, given_up.headers)
    other = await bench.take(json.dumps({**json.loads(given_up.body), "request_id": "s"}).encode())
    for _ in range(2):
        (lease,) = await bench.stores.jobs.claim("worker", 1, 30)
        assert await bench.stores.jobs.finish(lease, Outcome())
        await Removals(bench.stores).tidy(lease.job, None)
    assert await bench.stores.photos.keys("") == []
    await bench.again(again)
    await bench.again(other)
    assert await bench.states() == ["completed", "completed"]
    assert await bench.stores.dead_letters.entries(10) == []


@pytest.mark.parametrize("image", [INSIDE, {"type": "url", "data": "https://93.184.215.14/a.jpg"}])
async def test_a_replayed_message_restarts_its_job_only_once(bench: Bench, image: dict[str, str]) -> None:
    await bench.take(asked(image=image))
    given_up = await bench.give_up()
    again = await bench.take(given_up.body, given_up.headers)
    await bench.give_up()
    await bench.again(again)
    assert await bench.states() == ["failed"]
    await bench.take(given_up.body, given_up.headers)
    assert await bench.states() == ["queued"]


async def test_another_request_for_other_masks_under_the_same_id_is_refused(bench: Bench) -> None:
    await bench.take(asked())
    given_up = await bench.give_up()
    await bench.take(json.dumps({**json.loads(given_up.body), "mask_types": "upper_body"}).encode())
    assert await bench.states() == ["failed"]
    assert "idempotency_conflict" in {entry.failure.code for entry in await bench.stores.dead_letters.entries(10)}


async def test_a_photo_that_is_gone_is_reported_as_gone(bench: Bench) -> None:
    await bench.take(asked())
    given_up = await bench.give_up()
    (entry,) = await bench.stores.dead_letters.entries(10)
    await bench.stores.dead_letters.drop(entry.id)
    await bench.stores.photos.remove(await bench.stores.photos.keys(""))
    await bench.take(given_up.body)
    (entry,) = await bench.stores.dead_letters.entries(10)
    assert entry.failure.code == "object_missing"


@pytest.mark.parametrize("owner", [{"source": "http"}, {"tenant": "acme"}])
async def test_nobody_elses_photo_can_be_named(bench: Bench, owner: dict[str, str]) -> None:
    other = replace(new_job(source="kafka:mask_input/0/1"), **owner)
    await bench.stores.jobs.submit([other])
    await bench.stores.photos.put(str(other.id), PHOTO, "image/png")
    for job_id in (other.id, uuid4()):
        await bench.take(asked(image={"type": "s3", "data": f"s3://{SETTINGS.minio_photo_bucket}/{job_id}"}))
    codes = {entry.failure.code for entry in await bench.stores.dead_letters.entries(10)}
    assert codes == {"object_missing"}
    assert len(await bench.stores.photos.keys("")) == 1


async def test_other_keys_of_the_bucket_are_refused() -> None:
    for key in ("", "x", f"{uuid4()}/y", f"../{uuid4()}"):
        value = asked(image={"type": "s3", "data": f"s3://{SETTINGS.minio_photo_bucket}/{key}"})
        read = READER.read(Message("mask_input", 0, next(OFFSETS), 0, None, value))
        assert isinstance(read, Arrival)
        assert read.job.outcome is not None


async def test_attempts_go_on_from_what_a_message_says(bench: Bench) -> None:
    await bench.take(b"{")
    (told,) = await bench.told()
    assert told.headers["attempts"] == "1"
    await bench.take(told.body, told.headers)
    again = (await bench.told())[-1]
    assert again.headers["attempts"] == "2"
    newest, oldest = await bench.stores.dead_letters.entries(10)
    assert (newest.attempts, oldest.attempts) == (2, 1)
    assert await bench.stores.dead_letters.replay(newest.id)
    (replayed,) = [one.content for one in await take_due(bench.stores.outbox, 1.0)]
    await bench.take(replayed.body, replayed.headers)
    assert (await bench.told())[-1].headers["attempts"] == "3"


@pytest.mark.parametrize("said", ["-1", "1e3", "9" * 9, "²", ""])
async def test_an_attempt_count_that_is_not_a_number_is_ignored(bench: Bench, said: str) -> None:
    await bench.take(b"{", {"attempts": said})
    assert isinstance(READER.read(Message("in", 0, 0, 0, None, b"{", {"attempts": said.encode()})), BadMessage)
    (told,) = await bench.told()
    assert told.headers["attempts"] == "1"
