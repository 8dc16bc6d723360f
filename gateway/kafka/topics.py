"""Makes the topics where the broker lets us."""

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from gateway.kafka.connection import connection_arguments
from gateway.logs import get_logger
from gateway.settings import Settings

_PARTITIONS = 6
"""Of a topic made here: up to so many workers share it."""

_REPLICAS = 3
_TIMEOUT_MS = 8000


async def make_topics(settings: Settings) -> None:
    """Make those that are missing; what the broker refuses is logged. Raises KafkaError where there is no broker."""
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    try:
        await admin.start()
        wanted = {settings.kafka_topic_input, settings.kafka_topic_output, settings.kafka_topic_poison}
        missing = wanted - set(await admin.list_topics())
        if missing:
            await _make(admin, sorted(missing))
    finally:
        await admin.close()


async def _make(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    log = get_logger("gateway.kafka")
    replicas = min(_REPLICAS, len((await admin.describe_cluster())["brokers"]))
    topics = [NewTopic(name, _PARTITIONS, replicas) for name in names]
    response = await admin.create_topics(topics, timeout_ms=_TIMEOUT_MS)
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code == 0:
            log.info("topic made", topic=name, partitions=_PARTITIONS, replicas=replicas)
        elif error is not TopicAlreadyExistsError:
            log.warning("topic not made", topic=name, reason=error.__name__)
