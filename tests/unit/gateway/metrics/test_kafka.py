from prometheus_client import CollectorRegistry, generate_latest

from gateway.metrics.kafka import KafkaFigures


def page(fill) -> list[str]:
    registry = CollectorRegistry()
    fill(KafkaFigures(registry, registry))
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#") and "_created" not in line]


def test_only_what_is_the_members_now_is_told():
    def fill(figures: KafkaFigures) -> None:
        figures.lags({"a/b/0": 5, "a/b/1": 7})
        figures.lags({"a/b/1": 3})
        figures.stands([("a/b", 1, 2.5)])
        figures.membership("a/b", is_there=True, partitions=1)

    assert page(fill) == [
        'kafka_consumer_lag{partition="1",topic="a/b"} 3.0',
        'kafka_partition_standing_seconds{partition="1",topic="a/b"} 2.5',
        "kafka_partitions_assigned 1.0",
        'kafka_topic_present{topic="a/b"} 1.0',
    ]


def test_what_is_stepped_over_and_shortened_is_counted():
    def fill(figures: KafkaFigures) -> None:
        figures.skipped("in", 2)
        figures.skipped("in", 1)
        figures.shortened("bad")

    told = page(fill)
    assert 'kafka_unreadable_total{topic="in"} 3.0' in told
    assert 'kafka_messages_shortened_total{topic="bad"} 1.0' in told
