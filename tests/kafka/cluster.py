"""Apache Kafka of the workplace, three brokers on loopback; no test of the project's own needs it."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from tests.ports import free_run
from tests.stack import CHECKOUT

KAFKA = CHECKOUT.parent / "shared" / "kafka"
BROKERS = (1, 2, 3)
_PORTS = 10
_JAVA = "-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
_PROPERTIES = """
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.retention.ms=-1
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN,OAUTHBEARER
listener.name.sasl_plaintext.oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.\
OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
"""
"""A dead broker is missed sooner than after 9 s; records whose time is 1970 are not removed as old; tokens without a
signature are taken."""
_READY_S = 60.0


@dataclass
class Cluster:
    """Where it is; a broker may be killed and started again."""

    folder: Path
    first_port: int

    @property
    def plain(self) -> str:
        return ",".join(self.address(number, 0) for number in BROKERS)

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.plain, "log_level": 0})

    def address(self, number: int, listener: int) -> str:
        """Of a broker's listener: 0 without TLS, 1 SASL_SSL, 2 SSL with clients' certificates, 3 SASL_PLAINTEXT."""
        return f"127.0.0.1:{self.first_port + _PORTS * (number - 1) + listener}"

    def listener(self, listener: int) -> str:
        return ",".join(self.address(number, listener) for number in BROKERS)

    def kill(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(int((self.folder / f"{number}.pid").read_text()), signal.SIGKILL)

    def start(self, number: int) -> None:
        environment = {**os.environ, "KAFKA_START": str(number), "KAFKA_JAVA_OPTIONS": _JAVA}
        subprocess.run([KAFKA / "cluster", self.folder], env=environment, check=True)

    def make(self, topic: str, partitions: int = 6, replicas: int = 3, **config: str) -> None:
        new = NewTopic(topic, partitions, replicas, config=config)
        until_true(lambda: _done(self.admin.create_topics([new])), 10)

    def delete(self, topic: str) -> None:
        assert _done(self.admin.delete_topics([topic]))

    def add_partitions(self, topic: str, count: int) -> None:
        assert _done(self.admin.create_partitions([NewPartitions(topic, count)]))

    def has(self, topic: str, partition: int) -> bool:
        known = self.admin.list_topics(timeout=1).topics.get(topic)
        return known is not None and partition in known.partitions and known.partitions[partition].leader >= 0

    def corrupt(self, topic: str, text: bytes) -> None:
        """Change what lies on the disk of the one replica of partition 0."""
        [log] = self.folder.glob(f"data-*/{topic}-0/*.log")
        content = bytearray(log.read_bytes())
        content[content.index(text)] ^= 1
        log.write_bytes(content)

    def is_whole(self) -> bool:
        """Whether every broker is there, and every partition has all its replicas."""
        try:
            metadata = self.admin.list_topics(timeout=1)
        except KafkaException:
            return False
        partitions = [one for topic in metadata.topics.values() for one in topic.partitions.values()]
        return len(metadata.brokers) == len(BROKERS) and all(len(one.isrs) == len(one.replicas) for one in partitions)


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Skips the test where the broker or Java is not here."""
    if not KAFKA.exists() or shutil.which("java") is None:
        pytest.skip(f"Apache Kafka is passed over: it needs {KAFKA} and Java 17")
    cluster = Cluster(folder, free_run(_PORTS * len(BROKERS)))
    try:
        _start(cluster)
        yield cluster
    finally:
        for number in BROKERS:
            cluster.kill(number)


def _start(cluster: Cluster) -> None:
    arguments = [str(len(BROKERS)), str(cluster.first_port)]
    environment = {**os.environ, "KAFKA_JAVA_OPTIONS": _JAVA}
    subprocess.run([KAFKA / "cluster", cluster.folder, *arguments], env=environment, check=True)
    for number in BROKERS:
        cluster.kill(number)
        with (cluster.folder / f"{number}.properties").open("a") as properties:
            properties.write(_PROPERTIES)
        cluster.start(number)
    until_true(cluster.is_whole, _READY_S)


def until_true(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait until the condition holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s:g} s"
        time.sleep(0.1)


def _done(futures: Mapping[str, Future[None]]) -> bool:
    """Whether the broker did it; a topic may still be in the way that is being deleted."""
    try:
        for future in futures.values():
            future.result(10)
    except KafkaException:
        return False
    return True
