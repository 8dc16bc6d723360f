"""How many messages wait in the broker."""

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition


async def measure_lag(consumer: AIOKafkaConsumer) -> Mapping[str, int]:
    """Messages behind, by topic/partition, of the partitions whose end is known.

    A fetch tells the end; for paused partitions, which are not fetched, the broker is asked. Raises KafkaError.
    """
    paused = consumer.paused()
    asked = await consumer.end_offsets(paused) if paused else {}
    ends = {partition: _end(consumer, partition, asked) for partition in consumer.assignment()}
    return {
        f"{partition.topic}/{partition.partition}": max(0, end - await consumer.position(partition))
        for partition, end in ends.items()
        if end is not None and partition in consumer.assignment()
    }


def _end(consumer: AIOKafkaConsumer, partition: TopicPartition, asked: Mapping[TopicPartition, int]) -> int | None:
    known = [end for end in (consumer.highwater(partition), asked.get(partition)) if end is not None]
    return max(known, default=None)
