"""The whole durable path: a message into Kafka, the mask stored, the outcome back in Kafka; and the memory it takes."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.embedded.folders import StackState
from gateway.settings import Settings

_KIB = 1024


@dataclass(frozen=True)
class Memory:
    """Resident memory of each service's own process, in MiB."""

    services: dict[str, float]

    @classmethod
    def now(cls, settings: Settings) -> "Memory":
        """What /proc says at this moment."""
        state = StackState.read(settings.maskwright_home.resolve() / "stack.json")
        services = state.services.values() if state else ()
        return cls({one.name: _resident(one.pid) for one in services if one.pid})


def _resident(pid: int) -> float:
    """MiB. Raises OSError if the process is gone."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / _KIB


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
