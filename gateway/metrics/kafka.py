"""Messages in and out."""

from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge


class KafkaFigures:
    """What a member of the consumer group has, and what it could not take or send as it was."""

    def __init__(self, counted: CollectorRegistry, measured: CollectorRegistry) -> None:
        self._skipped = Counter(
            "kafka_unreadable_total", "Records, or batches, that nobody can read.", ["topic"], registry=counted
        )
        self._shortened = Counter(
            "kafka_messages_shortened_total", "Messages too large for their topic.", ["topic"], registry=counted
        )
        self._lag = Gauge(
            "kafka_consumer_lag", "Messages behind, of partitions taken.", ["topic", "partition"], registry=measured
        )
        self._standing = Gauge(
            "kafka_partition_standing_seconds",
            "Partitions that stand still, and since when.",
            ["topic", "partition"],
            registry=measured,
        )
        self._assigned = Gauge("kafka_partitions_assigned", "Partitions that are the worker's.", registry=measured)
        self._there = Gauge("kafka_topic_present", "Whether the topic is there.", ["topic"], registry=measured)

    def skipped(self, topic: str, count: int) -> None:
        """So many more were stepped over."""
        self._skipped.labels(topic).inc(count)

    def shortened(self, topic: str) -> None:
        """One more message was sent without its value."""
        self._shortened.labels(topic).inc()

    def lags(self, lag: Mapping[str, int]) -> None:
        """Messages behind, by topic/partition; no others are taken."""
        self._lag.clear()
        for name, behind in lag.items():
            self._lag.labels(*name.rsplit("/", 1)).set(behind)

    def stands(self, standing: Iterable[tuple[str, int, float]]) -> None:
        """Topic, partition and seconds of those that stand still; no others do."""
        self._standing.clear()
        for topic, partition, seconds in standing:
            self._standing.labels(topic, str(partition)).set(seconds)

    def membership(self, topic: str, *, is_there: bool, partitions: int) -> None:
        """Whether there is a topic, and how much of it is this member's."""
        self._there.labels(topic).set(is_there)
        self._assigned.set(partitions)
