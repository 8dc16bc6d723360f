"""What the consumer does not tell of its broker: a topic's identity, and the bytes of a partition as they lie there."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import BytesIO

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, LeaderNotAvailableError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from gateway.kafka.connection import connection_arguments
from gateway.settings import Settings

_WAIT_MS = 500
_FETCH_BYTES = 1024 * 1024
"""The first batch comes whole, however large it is (KIP-74)."""
_READ_COMMITTED = 1
_NO_ID = bytes(16)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka ships no types
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


class _TopicsResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _TopicsStruct(RequestStruct):  # type: ignore[misc]
    """The first version of a metadata request whose answer holds the topics' ids (KIP-516)."""

    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TopicsResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicsRequest(Request[_TopicsStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_TopicsStruct]) -> _TopicsStruct:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, False, {})  # noqa: FBT003 by position


@dataclass(frozen=True)
class Topic:
    """A topic: its partitions, and the id that is another one once it was made again; none from old brokers."""

    partitions: int
    id: bytes | None


@dataclass(frozen=True)
class Fetched:
    """Bytes of a partition, and the transactions in it that were given up: who sent each, and its first offset.

    `until` is the offset that ends what may be read.
    """

    data: bytes
    aborted: Sequence[tuple[int, int]]
    until: int


class Broker:
    """Asks the brokers of one cluster."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    async def topic(self, name: str) -> Topic | None:
        """None where it is not there, or may not be seen. Raises KafkaError."""
        try:
            answer = await self._client.send(self._any_node(), _TopicsRequest(name))
        except NotImplementedError:  # an older broker
            await self._client.force_metadata_update()
            known = self._client.cluster.partitions_for_topic(name)
            return Topic(len(known), None) if known else None
        error, _, identity, _, partitions, *_ = answer.topics[0]
        return Topic(len(partitions), identity if identity != _NO_ID else None) if error == 0 else None

    async def fetch(self, partition: TopicPartition, offset: int) -> Fetched:
        """What lies from an offset on, with the whole batch that holds it. Raises KafkaError."""
        await self._client.force_metadata_update()
        leader = self._client.cluster.leader_for_partition(partition)
        if leader in (None, -1):
            raise LeaderNotAvailableError(partition)
        wanted = [(partition.topic, [(partition.partition, offset, _FETCH_BYTES)])]
        request = FetchRequest(_WAIT_MS, 1, _FETCH_BYTES, _READ_COMMITTED, wanted)
        answer = await self._client.send(leader, request)
        [(_, [(_, code, high, *more, data)])] = answer.topics
        if code:
            raise for_code(code)(f"{partition.topic}/{partition.partition} at offset {offset}")
        aborted = next((member for member in more if isinstance(member, list)), [])
        stable = more[0] if more and isinstance(more[0], int) and more[0] >= 0 else high
        return Fetched(bytes(data or b""), aborted, min(stable, high))

    def _any_node(self) -> int:
        node = self._client.get_random_node()
        if node is None:
            raise KafkaError("no broker is known")
        return int(node)


@asynccontextmanager
async def open_broker(settings: Settings, topic: str) -> AsyncIterator[Broker]:
    """A connection of its own, for as long as the context lasts. Raises KafkaError."""
    client = AIOKafkaClient(**connection_arguments(settings))
    try:
        await client.bootstrap()
        client.set_topics([topic])
        yield Broker(client)
    finally:
        await client.close()
