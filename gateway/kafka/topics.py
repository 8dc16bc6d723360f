"""Makes the topics. It imports little: the launcher, which runs for ever, has no other use for our Kafka code."""

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from gateway.kafka.connection import connection_arguments
from gateway.logs import get_logger
from gateway.settings import Settings

_INPUT_PARTITIONS = 6
"""The most workers that can share the requests."""
_OUTPUT_PARTITIONS = 1
"""All outcomes are in one order, and those that end together need one write of the broker."""
_REPLICAS = 3
_TIMEOUT_MS = 8000

_log = get_logger("gateway.kafka")


async def make_topics(settings: Settings) -> Mapping[str, str]:
    """Make the missing topics; return those that the broker refuses, with its reason, which is logged too.

    Raises KafkaError if there is no broker.
    """
    admin = AIOKafkaAdminClient(**connection_arguments(settings))
    try:
        await admin.start()
        wanted = {settings.kafka_topic_input, settings.kafka_topic_output, settings.kafka_topic_poison}
        missing_ones = wanted - set(await admin.list_topics())
        return await _make(admin, settings, sorted(missing_ones)) if missing_ones else {}
    finally:
        await admin.close()


async def _make(admin: AIOKafkaAdminClient, settings: Settings, names: list[str]) -> Mapping[str, str]:
    refused = dict[str, str]()
    replicas = min(_REPLICAS, len((await admin.describe_cluster())["brokers"]))
    partitions = {settings.kafka_topic_input: _INPUT_PARTITIONS}
    topics = [NewTopic(name, partitions.get(name, _OUTPUT_PARTITIONS), replicas) for name in names]
    response = await admin.create_topics(topics, timeout_ms=_TIMEOUT_MS)
    for name, code, *_ in response.topic_errors:
        error = for_code(code)
        if code == 0:
            _log.info("topic made", topic=name, replicas=replicas)
        elif error is not TopicAlreadyExistsError:
            refused[name] = error.__name__
            _log.warning("topic not made", topic=name, reason=error.__name__)
    return refused
