"""Bytes that no client would send, put into a partition as they are."""

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.structs import TopicPartition

from tests.integration.kafka.stores import until


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
