"""Bytes that no client would send, put into a partition as they are."""

import struct
from collections.abc import Sequence

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

from tests.integration.kafka.stores import until

_PLACE = "PLACE"
_NO_UTF8 = b"\xffBAD\xfe"
_CRC_AT, _CHECKED_FROM = 17, 21


def batch(values: Sequence[bytes], *, bad: Sequence[int] = (), codec: int = 0) -> bytes:
    """A batch of records; those with an index in `bad` have a header whose name is not UTF-8."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 2**24)
    for index, value in enumerate(values):
        headers = [(_PLACE, b"x")] if index in bad else []
        builder.append(index, timestamp=1_700_000_000_000 + index, key=b"k", value=value, headers=headers)
    built = bytearray(bytes(builder.build()).replace(_PLACE.encode(), _NO_UTF8))
    struct.pack_into(">I", built, _CRC_AT, calc_crc32c(bytes(built[_CHECKED_FROM:])))
    return bytes(built)


async def produce(servers: str, topic: str, partition: int, data: bytes) -> int:
    """Put a batch into a partition, as soon as it has a leader; the offset of its first record."""
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    offsets: list[int] = []
    try:
        client.add_topic(topic)
        await until(lambda: _sent(client, TopicPartition(topic, partition), data, offsets), 20, "the batch is taken")
    finally:
        await client.close()
    return offsets[-1]


async def _sent(client: AIOKafkaClient, partition: TopicPartition, data: bytes, offsets: list[int]) -> bool:
    await client.force_metadata_update()
    leader = client.cluster.leader_for_partition(partition)
    if leader in (None, -1):
        return False
    request = ProduceRequest(None, -1, 9000, [(partition.topic, [(partition.partition, data)])])
    [(_, [(_, error, offset, *_)])] = (await client.send(leader, request)).topics
    offsets.append(offset)
    return error == 0
