from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest

from gateway.settings import Settings
from gateway.stores import Stores
from tests.integration.kafka.messages import Topics, client
from tests.integration.kafka.stores import opened_stores
from tests.servers import S3Server, fresh_database

Ours = Callable[..., Settings]


@pytest.fixture
def ours(postgres_dsn: str, s3_server: S3Server) -> Ours:
    """Makes settings with a database, buckets, topics and a group of the test's own, on a given broker."""

    def make(broker: str, **fields) -> Settings:
        name = uuid4().hex[:12]
        return Settings(
            **{
                "kafka_bootstrap_servers": broker,
                "kafka_topic_input": f"in-{name}",
                "kafka_topic_output": f"out-{name}",
                "kafka_topic_poison": f"poison-{name}",
                "kafka_consumer_group": f"group-{name}",
                "postgres_dsn": fresh_database(postgres_dsn),
                "minio_bucket": f"masks-{name}",
                "minio_photo_bucket": f"photos-{name}",
                **s3_server.settings(),
                **fields,
            }
        )

    return make


@pytest.fixture
def settings(kafka_server: str, ours: Ours) -> Settings:
    """Of a test on the shared broker."""
    return ours(kafka_server)


@pytest.fixture
async def stores(settings: Settings) -> AsyncIterator[Stores]:
    """Their jobs are an Interposed."""
    async with opened_stores(settings) as opened:
        yield opened


@pytest.fixture
async def topics(settings: Settings) -> AsyncIterator[Topics]:
    """Sends to, and reads from, the broker as a client of the service would."""
    async with client(settings) as connected:
        yield connected
