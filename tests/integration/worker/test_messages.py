"""Messages through worker processes, before a real broker."""

import asyncio
import base64
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from gateway.jobs.job import JobFilter
from gateway.kafka.topics import make_topics
from gateway.settings import Settings
from tests.integration.gateway.photos import encode, noise
from tests.integration.worker.conftest import WorkerProcess
from tests.integration.worker.desk import Desk, until
from tests.web import reply, serving

StartWorker = Callable[..., WorkerProcess]

pytestmark = pytest.mark.stack


@dataclass
class Topics:
    """The three topics, of this test's own, and what came out of two of them."""

    settings: dict[str, str]
    producer: AIOKafkaProducer
    outcomes: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    poison: list[dict[str, str]] = field(default_factory=list)

    async def send(self, *values: bytes) -> None:
        topic = self.settings["KAFKA_TOPIC_INPUT"]
        await asyncio.gather(*[self.producer.send_and_wait(topic, value) for value in values])

    async def listen(self, consumer: AIOKafkaConsumer) -> None:
        async for record in consumer:
            if record.topic == self.settings["KAFKA_TOPIC_POISON"]:
                self.poison.append({name: value.decode() for name, value in record.headers})
            else:
                outcome = json.loads(record.value)
                self.outcomes.setdefault(outcome["request_id"], []).append(outcome)


@pytest_asyncio.fixture(loop_scope="session")
async def topics(kafka_server: str) -> AsyncIterator[Topics]:
    names = {f"KAFKA_TOPIC_{kind}": f"{kind.lower()}-{uuid4().hex}" for kind in ("INPUT", "OUTPUT", "POISON")}
    settings = {"KAFKA_BOOTSTRAP_SERVERS": kafka_server, "KAFKA_CONSUMER_GROUP": uuid4().hex, **names}
    await make_topics(
        Settings(**{name.lower(): value for name, value in settings.items()})
    )  # deploy/embedded/s3_kafka.py
    consumer = AIOKafkaConsumer(
        names["KAFKA_TOPIC_OUTPUT"],
        names["KAFKA_TOPIC_POISON"],
        bootstrap_servers=kafka_server,
        auto_offset_reset="earliest",
        metadata_max_age_ms=1000,
    )
    async with AIOKafkaProducer(bootstrap_servers=kafka_server, acks="all", max_request_size=2**28) as producer:
        topics = Topics(settings, producer)
        async with consumer, _background(topics.listen(consumer)):
            yield topics


@asynccontextmanager
async def _background(work: Awaitable[None]) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def message(request_id: str, image: object, user_id: str = "7", **changes: object) -> bytes:
    fields = {"user_id": user_id, "request_id": request_id, "gender": "F", "mask_types": ["upper_body"]}
    return json.dumps({**fields, "image": image, **changes}).encode()


def inside(photo: bytes) -> dict[str, str]:
    return {"type": "base64", "data": base64.b64encode(photo).decode()}


def at(url: str) -> dict[str, str]:
    return {"type": "url", "data": url}


async def test_a_message_comes_in_and_its_outcome_goes_out(
    desk: Desk, start_worker: StartWorker, topics: Topics, photo: bytes
) -> None:
    worker = start_worker(**topics.settings)
    await topics.send(message("r-1", inside(photo)))
    await until(_condition(lambda: "r-1" in topics.outcomes), 60, "the outcome is told")
    (outcome,) = topics.outcomes["r-1"]
    assert (outcome["user_id"], outcome["status"]) == ("7", "completed")
    paths = outcome["mask_paths"]
    assert isinstance(paths, dict)
    answer = await asyncio.to_thread(httpx.get, paths["upper_body"], trust_env=False)
    (job,) = await desk.stores.jobs.find(JobFilter(user_id="7", request_id="r-1"))
    assert await desk.artifacts(job) == {"upper_body_mask.png": answer.content}
    assert await asyncio.to_thread(worker.stop) == 0


async def test_each_bad_message_ends_once_with_its_reason_and_the_partitions_go_on(
    desk: Desk, start_worker: StartWorker, topics: Topics, photo: bytes
) -> None:
    start_worker(**topics.settings, ALLOWED_NETWORKS="127.0.0.1/32", MAX_RETRIES="1")
    huge = encode(noise(), "JPEG") + bytes(100 * 2**20)
    async with serving(reply(200, huge)) as web:
        failing = {
            "unknown-type": (message("unknown-type", inside(photo), mask_types=["socks"]), "invalid_parameters"),
            "private": (message("private", at("http://10.0.0.1/a.jpg")), "url_not_allowed"),
            "no-photo": (message("no-photo", inside(b"not a photo")), "image_unsupported"),
            "nobody": (message("nobody", inside(encode(noise(), "JPEG"))), "no_person"),
            "huge": (message("huge", at(web.url("/huge.jpg"))), "body_too_large"),
            "dead": (message("dead", at("http://127.0.0.1:1/a.jpg")), "url_unreachable"),
        }
        malformed = [b"{", b'{"request_id": "x", "image": ', b'{"user_id": 7}', b"[]", message("no-image", None)]
        good = [message(f"good-{number}", inside(photo), user_id=f"good-{number}") for number in range(6)]
        await topics.send(*(value for value, _ in failing.values()), *malformed, *good)
        expected = {*failing, *(f"good-{number}" for number in range(6))}
        await until(_condition(lambda: topics.outcomes.keys() >= expected and len(topics.poison) >= 6), 90, "all end")
    told = {name: [outcome["error"] for outcome in topics.outcomes[name]] for name in failing}
    assert {name: [str(why).partition(":")[0] for why in reasons] for name, reasons in told.items()} == {
        name: [code] for name, (_, code) in failing.items()
    }
    assert topics.outcomes.keys() == expected
    assert {topics.outcomes[f"good-{number}"][0]["status"] for number in range(6)} == {"completed"}
    assert Counter(entry["reason"] for entry in topics.poison)["url_unreachable"] == 1
    assert len(topics.poison) == len(malformed) + 1
    assert len(await desk.stores.dead_letters.entries(100)) == len(malformed) + 1


async def test_the_partitions_and_jobs_of_a_killed_worker_go_to_the_other(
    desk: Desk, start_worker: StartWorker, topics: Topics, photo: bytes
) -> None:
    workers = [start_worker(**topics.settings) for _ in range(2)]

    def shared() -> bool:
        return all(len(_lag(worker)) == 3 for worker in workers)

    await until(_condition(shared), 60, "each has half of the partitions")
    values = [message(f"r-{number}", inside(photo), user_id=f"user-{number}") for number in range(40)]
    await topics.send(*values[:20])
    await until(_condition(lambda: len(topics.outcomes) > 0), 60, "they work")
    workers[0].kill()
    await topics.send(*values[20:])
    await until(_condition(lambda: len(topics.outcomes) == 40), 90, "the other does all")
    assert {outcome["status"] for told in topics.outcomes.values() for outcome in told} == {"completed"}
    assert len(_lag(workers[1])) == 6
    assert len(await desk.stores.jobs.find(JobFilter(limit=100))) == 40


def _lag(worker: WorkerProcess) -> dict[str, int]:
    lag = worker.health().get("lag")
    return lag if isinstance(lag, dict) else {}


def _condition(check: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    return lambda: asyncio.to_thread(check)
