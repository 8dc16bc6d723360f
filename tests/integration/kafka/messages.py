"""A client of the service: what it sends, and what it reads."""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import cv2
import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from gateway.kafka.topics import make_topics
from gateway.settings import Settings

PARTITIONS = range(6)


def png(width: int = 32, height: int = 32) -> bytes:
    """A photo that compresses badly."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


PHOTO = png()


def request(user: int | str, request_id: str, photo: bytes = PHOTO, **members) -> bytes:
    """A message that becomes a job."""
    image = {"type": "base64", "data": base64.b64encode(photo).decode()}
    return json.dumps({"user_id": user, "request_id": request_id, "image": image, **members}).encode()


@dataclass(frozen=True)
class Topics:
    settings: Settings
    producer: AIOKafkaProducer

    async def send(self, *values: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        """Values to the input topic, spread over its partitions."""
        await make_topics(self.settings)
        sent = [
            await self.producer.send(self.settings.kafka_topic_input, value, key=uuid4().bytes, headers=headers)
            for value in values
        ]
        for one in sent:
            await one

    async def committed(self) -> int:
        """Messages of the input topic that the group has committed."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        await admin.start()
        try:
            partitions = [TopicPartition(self.settings.kafka_topic_input, number) for number in PARTITIONS]
            group = self.settings.kafka_consumer_group
            offsets = await admin.list_consumer_group_offsets(group, partitions=partitions)
        except GroupCoordinatorNotAvailableError:  # the broker makes the place where groups are kept
            return 0
        finally:
            await admin.close()
        return sum(max(0, known.offset) for known in offsets.values())

    async def read(self, topic: str, count: int) -> list[ConsumerRecord]:
        """So many messages of a topic, from its beginning."""
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=self.settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer:
            return [await consumer.getone() for _ in range(count)]

    async def read_all(self, topic: str) -> list[ConsumerRecord]:
        """A topic's messages, until none comes for a while."""
        records: list[ConsumerRecord] = []
        async with AIOKafkaConsumer(
            topic, bootstrap_servers=self.settings.kafka_bootstrap_servers, auto_offset_reset="earliest"
        ) as consumer:
            while batches := await consumer.getmany(timeout_ms=3000):
                records += [record for batch in batches.values() for record in batch]
        return records


@asynccontextmanager
async def client(settings: Settings) -> AsyncIterator[Topics]:
    """A connected client."""
    servers = settings.kafka_bootstrap_servers
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all", max_request_size=16 * 1024 * 1024) as producer:
        yield Topics(settings, producer)


def headers_of(record: ConsumerRecord) -> Mapping[str, str]:
    """A message's headers as text."""
    return {name: value.decode() for name, value in record.headers}
