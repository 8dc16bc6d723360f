"""Real servers for tests, each alone: the embedded PostgreSQL, S3 and Kafka, on free ports, kept running as in a stack.

Fixtures of the session, in tests/conftest.py:

- `postgres_dsn`: a fresh database, as its administrator; `fresh_database(postgres_dsn)` makes another one, for one test
  alone
- `s3_server`: `endpoint`, `access_key`, `secret_key`, and `settings()` for `Settings(**…)`; use buckets of your own
- `kafka_server`: host:port; use topics and groups of your own

The servers are shared by the session. A test that harms one starts its own with `running_postgres()` and the like,
whose `pid` it may kill: it is started again, with its data.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
from anyio.from_thread import start_blocking_portal

from deploy.embedded.addresses import POSTGRES_ADMIN, Addresses
from deploy.embedded.folders import Credentials, Folders, ServiceState
from deploy.embedded.postgres import Postgres
from deploy.embedded.s3_kafka import S3, Kafka
from deploy.embedded.supervisor import Service, ServiceSupervisor
from gateway.settings import Settings
from tests.ports import free_ports, free_s3_port


@dataclass
class Server:
    """A server under watch; its process id changes when it is started again."""

    address: str
    states: list[ServiceState] = field(default_factory=list)

    @property
    def pid(self) -> int:
        pid = self.states[-1].pid
        assert pid is not None
        return pid

    def is_ready(self) -> bool:
        return self.states[-1].state == "ready"


@dataclass
class S3Server(Server):
    """The S3 server and who may use it."""

    access_key: str = ""
    secret_key: str = ""

    @property
    def endpoint(self) -> str:
        return self.address

    def settings(self) -> Mapping[str, str]:
        return {
            "minio_endpoint": self.address,
            "minio_access_key": self.access_key,
            "minio_secret_key": self.secret_key,
        }


@contextmanager
def running_postgres(home: Path | None = None) -> Iterator[Server]:
    """PostgreSQL; its address is the administrator's DSN, who may make databases and users."""
    with _folders(home) as folders:
        settings = _embedded(folders, postgres_port=free_ports(1)[0])
        server = Server(administrator_dsn(folders.home, settings.postgres_port))
        with kept(Postgres(settings, folders), folders, server):
            yield server


@contextmanager
def running_s3(home: Path | None = None, **given: object) -> Iterator[S3Server]:
    """S3; further settings may be given."""
    with _folders(home) as folders:
        settings = _embedded(folders, s3_port=free_s3_port(), **given)
        secret = settings.minio_secret_key.get_secret_value()
        server = S3Server(settings.minio_endpoint, access_key=settings.minio_access_key, secret_key=secret)
        with kept(S3(settings, folders), folders, server):
            yield server


@contextmanager
def running_kafka(s3: S3Server, home: Path | None = None) -> Iterator[Server]:
    """Kafka, on a running S3."""
    with _folders(home) as folders:
        settings = _embedded(folders, kafka_port=free_ports(1)[0], **s3.settings())
        server = Server(settings.kafka_bootstrap_servers)
        with kept(Kafka(settings), folders, server):
            yield server


def administrator_dsn(home: Path, port: int) -> str:
    """Where the administrator of a stack's PostgreSQL logs in."""
    password = Credentials.kept(Folders(home).secrets).postgres_admin_password
    return f"postgresql://{POSTGRES_ADMIN}:{password}@127.0.0.1:{port}/postgres"


def fresh_database(dsn: str) -> str:
    """Make an empty database on the same server; its DSN."""
    name = f"test_{uuid4().hex}"
    with start_blocking_portal() as portal:
        portal.call(_execute, dsn, f"CREATE DATABASE {name}")
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def _folders(home: Path | None) -> Iterator[Folders]:
    with ExitStack() as stack:
        folders = Folders(home or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="maskwright-test-"))))
        folders.create()
        yield folders


def _embedded(folders: Folders, **given: object) -> Settings:
    """Settings with nothing from the environment's addresses, filled in as the launcher does."""
    blank = {"postgres_dsn": "", "minio_endpoint": "", "kafka_bootstrap_servers": "", "db_use_database": True}
    return Addresses.of(Settings(**{**blank, **given}), folders.secrets).settings


@contextmanager
def kept(service: Service, folders: Folders, server: Server) -> Iterator[None]:
    """The service under a supervisor, in a thread with an event loop of its own."""
    supervisor = ServiceSupervisor(service, folders.log(service.name), server.states.append)
    with start_blocking_portal() as portal:
        portal.call(supervisor.start)
        watching = portal.start_task_soon(supervisor.watch)
        try:
            yield
        finally:
            watching.cancel()
            portal.call(supervisor.stop)
