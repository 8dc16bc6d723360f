from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from gateway.metrics.instruments import KafkaMetrics


def page(fill: Callable[[KafkaMetrics], None]) -> list[str]:
    registry = CollectorRegistry()
    fill(KafkaMetrics(registry, "me"))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#") and "_created" not in line]


def test_only_partitions_that_are_the_members_now_are_told() -> None:
    def fill(metrics: KafkaMetrics) -> None:
        metrics.lags({"a/b/0": 5, "a/b/1": 7})
        metrics.lags({"a/b/1": 3})
        metrics.stands([("a/b", 1, 2.5)])
        metrics.membership("a/b", is_there=True, partitions=1)

    assert page(fill) == [
        'kafka_consumer_lag{partition="1",process="me",topic="a/b"} 3.0',
        'kafka_partition_standing_seconds{partition="1",process="me",topic="a/b"} 2.5',
        'kafka_partitions_assigned{process="me"} 1.0',
        'kafka_topic_present{process="me",topic="a/b"} 1.0',
    ]


def test_skipped_records_and_shortened_messages_are_counted() -> None:
    def fill(metrics: KafkaMetrics) -> None:
        metrics.skipped("in", 2)
        metrics.skipped("in", 1)
        metrics.shortened("bad")

    told = page(fill)
    assert 'kafka_unreadable_total{topic="in"} 3.0' in told
    assert 'kafka_messages_shortened_total{topic="bad"} 1.0' in told
