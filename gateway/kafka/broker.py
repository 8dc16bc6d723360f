"""Asks the broker what the client does not tell: a topic's id, a partition's raw bytes, and why it cannot be used."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from io import BytesIO

import anyio
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from gateway.kafka.connection import connection_arguments
from gateway.settings import Settings

_WAIT_MS = 500
_FETCH_BYTES = 1024 * 1024
"""The first batch comes whole, however large it is (KIP-74)."""
_READ_COMMITTED = 1
_NO_ID = bytes(16)


class _Uuid(AbstractType[bytes]):  # type: ignore[misc]  # aiokafka ships no types
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(16)


_TEXT = CompactString("utf-8")
_TAGS = ("tags", TaggedFields)
_PARTITION = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline", CompactArray(Int32)),
    _TAGS,
)
_TOPIC = (
    ("error_code", Int16),
    ("name", _TEXT),
    ("topic_id", _Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)),
    ("authorized_operations", Int32),
    _TAGS,
)


class _TopicsResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(("node_id", Int32), ("host", _TEXT), ("port", Int32), ("rack", _TEXT), _TAGS)),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        ("topics", CompactArray(*_TOPIC)),
        ("authorized_operations", Int32),
        _TAGS,
    )


class _TopicsStruct(RequestStruct):  # type: ignore[misc]
    """The first version of a metadata request whose answer holds the topics' ids (KIP-516)."""

    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _TopicsResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", _TEXT), _TAGS)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


class _TopicsRequest(Request[_TopicsStruct]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_TopicsStruct]) -> _TopicsStruct:
        return request_struct_class([(_NO_ID, self._topic, {})], False, False, False, {})  # noqa: FBT003 by position


@dataclass(frozen=True)
class Topic:
    """A topic: its partitions, and its id, which is another one after it was made again; old brokers tell none."""

    partitions: int
    id: bytes | None


@dataclass(frozen=True)
class Fetched:
    """Bytes of a partition, and its aborted transactions: the producer and the first offset of each.

    Only offsets before `until` may be read.
    """

    data: bytes
    aborted: Sequence[tuple[int, int]]
    until: int


class Broker:
    """Asks the brokers of one cluster."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    async def topic(self, name: str) -> Topic | None:
        """The topic; None if it is not there or may not be seen. Raises KafkaError."""
        try:
            answer = await self._client.send(self._any_node(), _TopicsRequest(name))
        except NotImplementedError:  # an older broker
            await self._client.force_metadata_update()
            known = self._client.cluster.partitions_for_topic(name)
            return Topic(len(known), None) if known else None
        error, _, identity, _, partitions, *_ = answer.topics[0]
        return Topic(len(partitions), identity if identity != _NO_ID else None) if error == 0 else None

    async def fetch(self, partition: TopicPartition, offset: int) -> Fetched:
        """What lies from an offset on, with the whole batch that holds the offset. Raises KafkaError."""
        await self._client.force_metadata_update()
        leader = self._client.cluster.leader_for_partition(partition)
        if leader in (None, -1):
            raise LeaderNotAvailableError(partition)
        wanted = [(partition.topic, [(partition.partition, offset, _FETCH_BYTES)])]
        request = FetchRequest(_WAIT_MS, 1, _FETCH_BYTES, _READ_COMMITTED, wanted)
        answer = await self._client.send(leader, request)
        [(_, [(_, code, high, *more, data)])] = answer.topics
        if code:
            raise for_code(code)(f"{partition.topic}/{partition.partition} at offset {offset}")
        aborted = next((member for member in more if isinstance(member, list)), [])
        stable = more[0] if more and isinstance(more[0], int) and more[0] >= 0 else high
        return Fetched(bytes(data or b""), aborted, min(stable, high))

    def _any_node(self) -> int:
        node = self._client.get_random_node()
        if node is None:
            raise KafkaError("no broker is known")
        return int(node)


@asynccontextmanager
async def open_broker(settings: Settings, topic: str) -> AsyncIterator[Broker]:
    """A connection of its own, for as long as the context lasts. Raises KafkaError."""
    client = AIOKafkaClient(**connection_arguments(settings))
    try:
        await client.bootstrap()
        client.set_topics([topic])
        yield Broker(client)
    finally:
        await client.close()


_ANSWER_S = 4.0
_ALL_S = 8.0
_OTHERWISE_S = 2.0
_OF_CONNECTION = ("security_protocol", "ssl_context", "sasl_")
_CERTIFICATES: Mapping[int, str] = {
    **dict.fromkeys((18, 19, 20, 21), "its certificate is from an authority that is not known here: KAFKA_SSL_CAFILE"),
    **dict.fromkeys((62, 63, 64), "its certificate is for another name than the one it is called by"),
    9: "its certificate is not valid yet; is the clock right?",
    10: "its certificate has expired",
}
"""By OpenSSL's codes of verification (x509_vfy.h)."""
_ALERTS: Mapping[str, str] = {
    "CERTIFICATE_REQUIRED": "it wants a client's certificate: KAFKA_SSL_CERTFILE",
    "HANDSHAKE_FAILURE": "it breaks off the TLS handshake; does it want a client's certificate (KAFKA_SSL_CERTFILE)?",
    "UNKNOWN_CA": "it does not know the authority of KAFKA_SSL_CERTFILE",
    "CERTIFICATE_UNKNOWN": "it does not accept the certificate KAFKA_SSL_CERTFILE",
    "BAD_CERTIFICATE": "it does not accept the certificate KAFKA_SSL_CERTFILE; perhaps there is none",
    "CERTIFICATE_EXPIRED": "it says that the certificate KAFKA_SSL_CERTFILE has expired",
    "PROTOCOL_VERSION": "it does not speak our versions of TLS",
}
_SASL: Mapping[type[BaseException], str] = {
    UnsupportedSaslMechanismError: "it does not take this KAFKA_SASL_MECHANISM",
    IllegalSaslStateError: "this port takes no login: KAFKA_SECURITY_PROTOCOL=PLAINTEXT or SSL",
}


async def explained(error: Exception, settings: Settings) -> str:
    """The error in words. If it only says that there is no connection, the servers are asked again for the cause."""
    if not isinstance(error, KafkaConnectionError):
        return str(error) or type(error).__name__
    found: list[str] = []
    with anyio.move_on_after(_ALL_S):
        await _ask(settings, found)
    return "; ".join(dict.fromkeys(found)) or str(error)


async def _ask(settings: Settings, found: list[str]) -> None:
    """Find what is wrong with each server; if one can be used, what is wrong with the brokers that it names."""
    arguments = connection_arguments(settings)
    given = {name: value for name, value in arguments.items() if name.startswith(_OF_CONNECTION)}
    for host, port, _ in collect_hosts(settings.kafka_bootstrap_servers, randomize=False):
        server = _Server(host, port, given)
        try:
            brokers = await server.brokers()
        except Exception as error:  # noqa: BLE001 whatever it is, it is to be said
            found.append(f"{host}:{port}: {await server.words(error)}")
            continue
        for node, broker_host, broker_port in brokers:
            await _ask_broker(_Server(broker_host, broker_port, given), node, found)
        return


async def _ask_broker(server: "_Server", node: int, found: list[str]) -> None:
    try:
        await server.brokers()
    except Exception as error:  # noqa: BLE001
        words = await server.words(error)
        found.append(f"broker {node} says that it is at {server.host}:{server.port} (advertised.listeners): {words}")


@dataclass(frozen=True)
class _Server:
    host: str
    port: int
    arguments: Mapping[str, object]

    @property
    def is_asked_by_tls(self) -> bool:
        return str(self.arguments["security_protocol"]).endswith("SSL")

    async def brokers(self) -> Sequence[tuple[int, str, int]]:
        """Connect and log in as the client does, and ask for the ids, hosts and ports of the cluster's brokers."""
        milliseconds = int(_ANSWER_S * 1000)
        connection = await create_conn(self.host, self.port, **{**self.arguments, "request_timeout_ms": milliseconds})
        try:
            answer = await connection.send(MetadataRequest([]))
        finally:
            connection.close()
        return [(node, host, port) for node, host, port, *_ in answer.brokers]

    async def words(self, error: BaseException) -> str:
        """What the error means, and which setting corrects it."""
        for one in _chain(error):
            if words := _known(one):
                return words
        if await self._speaks_otherwise():
            wanted = "SSL or SASL_SSL" if not self.is_asked_by_tls else "PLAINTEXT or SASL_PLAINTEXT"
            speaks = "speaks TLS" if not self.is_asked_by_tls else "does not speak TLS"
            return f"this port {speaks}: KAFKA_SECURITY_PROTOCOL={wanted}"
        if isinstance(error, TimeoutError):
            return f"no answer within {_ANSWER_S:g} s"
        if isinstance(error, KafkaConnectionError | ConnectionError | EOFError):
            login = not str(self.arguments["security_protocol"]).startswith("SASL")
            return "it closed the connection" + ("; does it want a login (KAFKA_SECURITY_PROTOCOL=SASL_…)?" * login)
        return str(error) or type(error).__name__

    async def _speaks_otherwise(self) -> bool:
        """Whether the port speaks TLS although it was asked without, or does not although it was asked with TLS."""
        with suppress(Exception), anyio.move_on_after(_OTHERWISE_S):
            if self.is_asked_by_tls:
                milliseconds = int(_OTHERWISE_S * 1000)
                (await create_conn(self.host, self.port, request_timeout_ms=milliseconds)).close()
            else:
                anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
                _, writer = await asyncio.open_connection(self.host, self.port, ssl=anybody)
                writer.close()
            return True
        return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__


def _known(error: BaseException) -> str | None:  # noqa: PLR0911 a table of one line each
    """Words for an error that says enough by itself."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"{_CERTIFICATES.get(error.verify_code, 'its certificate is refused')} ({error.verify_message})"
        case ssl.SSLError():
            return next((words for alert, words in _ALERTS.items() if alert in str(error.reason)), None)
        case socket.gaierror():
            return f"the name is not known (DNS: {error.strerror})"
        case ConnectionRefusedError():
            return "nobody listens there (connection refused)"
        case SaslAuthenticationFailed():
            return f"the login is refused: {error.args[0] if error.args else ''}: KAFKA_USERNAME, KAFKA_PASSWORD"
        case UnsupportedSaslMechanismError() | IllegalSaslStateError():
            return _SASL[type(error)]
        case AuthenticationFailedError() | OSError() if not isinstance(error, TimeoutError | ConnectionError):
            return str(error)
    return None
