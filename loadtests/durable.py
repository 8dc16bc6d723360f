"""The whole durable path: a message into Kafka, the mask stored, the outcome back in Kafka."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from gateway.settings import Settings
from loadtests.memory import Memory

USERS = 100


@dataclass(frozen=True)
class Passage:
    """A backlog of messages: how many, seconds from the first send to the last outcome, and memory on the way."""

    messages: int
    wall: float
    memory: tuple[Memory, ...]

    @property
    def per_second(self) -> float:
        """Messages a second."""
        return self.messages / self.wall


async def pass_through(settings: Settings, image: Mapping[str, str], messages: int, sample_every: int) -> Passage:
    """Send messages with this image, one mask type each; wait for all outcomes. Raises RuntimeError if one failed."""
    broker = settings.kafka_bootstrap_servers or f"127.0.0.1:{settings.kafka_port}"
    memory: list[Memory] = []
    waiting = {uuid.uuid4().hex for _ in range(messages)}
    consumer = AIOKafkaConsumer(settings.kafka_topic_output, bootstrap_servers=broker, auto_offset_reset="latest")
    async with AIOKafkaProducer(bootstrap_servers=broker, acks="all", max_request_size=2**24) as producer, consumer:
        await consumer.seek_to_end()
        start = time.perf_counter()
        sending = asyncio.create_task(_send(producer, settings.kafka_topic_input, image, tuple(waiting)))
        async for record in consumer:
            waiting.discard(_completed(json.loads(record.value)))
            if len(waiting) % sample_every == 0:
                memory.append(Memory.now(settings))
            if not waiting:
                break
        await sending
    return Passage(messages, time.perf_counter() - start, tuple(memory))


def _completed(outcome: Mapping[str, object]) -> str:
    request_id = str(outcome["request_id"])
    if outcome["status"] != "completed":
        raise RuntimeError(f"{request_id}: {outcome['error']}")
    return request_id


async def _send(producer: AIOKafkaProducer, topic: str, image: Mapping[str, str], request_ids: Sequence[str]) -> None:
    for number, request_id in enumerate(request_ids):
        user_id = f"user-{number % USERS}"
        message = {"user_id": user_id, "request_id": request_id, "mask_types": ["upper_body"], "image": image}
        await producer.send(topic, json.dumps(message).encode(), key=user_id.encode())
