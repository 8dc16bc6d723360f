"""The whole durable path: a message into Kafka, the mask stored, the outcome back in Kafka."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from numpy.typing import NDArray

from gateway.settings import Settings
from loadtests.memory import Memory

USERS = 100
IN_FLIGHT = 64
"""Messages that were sent and not answered yet: enough that the workers never wait for work."""


@dataclass(frozen=True)
class Passage:
    """A run of messages: seconds in all, each one's seconds from its sending to its outcome, memory on the way."""

    wall: float
    latencies: NDArray[np.float64]
    memory: tuple[Memory, ...]

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return len(self.latencies) / self.wall


@dataclass
class _Journey:
    """Messages under way: when each was sent, and the outcomes that came."""

    sent: dict[str, float]
    arrived: dict[str, float]
    places: asyncio.Semaphore

    def take(self, outcome: Mapping[str, object]) -> None:
        """Note an outcome. Raises RuntimeError for a failed one."""
        request_id = str(outcome["request_id"])
        if request_id not in self.sent or request_id in self.arrived:
            return
        if outcome["status"] != "completed":
            raise RuntimeError(f"{request_id}: {outcome['error']}")
        self.arrived[request_id] = time.perf_counter()
        self.places.release()


async def pass_through(settings: Settings, image: Mapping[str, str], messages: int, sample_every: int) -> Passage:
    """Send messages of one mask type with this image, and wait for every outcome."""
    broker = settings.kafka_bootstrap_servers or f"127.0.0.1:{settings.kafka_port}"
    journey = _Journey({}, {}, asyncio.Semaphore(IN_FLIGHT))
    memory: list[Memory] = []
    consumer = AIOKafkaConsumer(settings.kafka_topic_output, bootstrap_servers=broker, auto_offset_reset="latest")
    async with AIOKafkaProducer(bootstrap_servers=broker, acks="all", max_request_size=2**24) as producer, consumer:
        await consumer.seek_to_end()
        start = time.perf_counter()
        sending = asyncio.create_task(_send(producer, settings.kafka_topic_input, image, messages, journey))
        async for record in consumer:
            journey.take(json.loads(record.value))
            if len(journey.arrived) % sample_every == 0:
                memory.append(Memory.now(settings))
            if len(journey.arrived) == messages:
                break
        await sending
    wall = time.perf_counter() - start
    return Passage(wall, np.array([journey.arrived[name] - sent for name, sent in journey.sent.items()]), tuple(memory))


async def _send(
    producer: AIOKafkaProducer, topic: str, image: Mapping[str, str], messages: int, journey: _Journey
) -> None:
    for number in range(messages):
        await journey.places.acquire()
        request_id, user_id = uuid.uuid4().hex, f"user-{number % USERS}"
        message = {"user_id": user_id, "request_id": request_id, "mask_types": ["upper_body"], "image": image}
        journey.sent[request_id] = time.perf_counter()
        await producer.send(topic, json.dumps(message).encode(), key=user_id.encode())
