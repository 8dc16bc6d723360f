import pytest

from gateway.kafka.broker import Topic
from gateway.kafka.ingestion import TopicChangedError, Watch
from gateway.settings import Settings

ONE, OTHER = bytes(15) + b"1", bytes(15) + b"2"


class Broker:
    """Shows what it is given, one after the other."""

    def __init__(self, *seen: Topic | None) -> None:
        self._seen = iter(seen)

    async def topic(self, name: str) -> Topic | None:  # noqa: ARG002 as the real one
        return next(self._seen)


def watching(known: Topic, *seen: Topic | None) -> Watch:
    return Watch(Settings(), Broker(*seen), known)


@pytest.mark.parametrize(("known", "seen", "kept"), [(ONE, None, ONE), (None, ONE, ONE), (ONE, ONE, ONE)])
async def test_a_missing_topic_id_keeps_the_known_one(known, seen, kept):
    watch = watching(Topic(2, known), Topic(2, seen))
    await watch.look()
    assert watch.topic == Topic(2, kept)


@pytest.mark.parametrize(
    ("seen", "is_another"), [(Topic(3, None), False), (Topic(3, ONE), False), (Topic(2, OTHER), True)]
)
async def test_more_partitions_or_another_id_are_a_change(seen, is_another):
    with pytest.raises(TopicChangedError) as caught:
        await watching(Topic(2, ONE), seen).look()
    assert caught.value.is_another == is_another
