"""Workers as processes, before real servers."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from gateway.settings import Settings
from tests.integration.worker.desk import Desk, open_desk
from tests.servers import S3Server, fresh_database
from tests.stack import CHECKOUT, RunningStack, eventually, free_ports

LEASE_S = 2


@dataclass(frozen=True)
class WorkerProcess:
    """`python -m gateway.worker`."""

    process: "subprocess.Popen[bytes]"
    url: str
    log_file: Path

    def health(self) -> dict[str, object]:
        return httpx.get(f"{self.url}/health", trust_env=False).json()

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def log(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines() if line.startswith("{")]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(40)


@pytest.fixture(scope="session")
def photo(astronaut: Path) -> bytes:
    """An encoded photo of one person."""
    return astronaut.read_bytes()


@pytest.fixture
def worker_environment(stack: RunningStack, postgres_dsn: str, s3_server: S3Server) -> dict[str, str]:
    """Real servers, with a database and buckets of this test's own; loopback may be fetched from."""
    database = fresh_database(postgres_dsn)
    name = database.rpartition("_")[2][:20]
    return {
        "POSTGRES_DSN": database,
        **{variable.upper(): value for variable, value in s3_server.settings().items()},
        "MINIO_BUCKET": f"masks-{name}",
        "MINIO_PHOTO_BUCKET": f"photos-{name}",
        "TRITON_GRPC_URL": stack.triton,
        "SERVICE_CONCURRENCY": "2",
        "ALLOWED_NETWORKS": "127.0.0.0/8",
        "WEBHOOK_SECRET": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "LEASE_S": str(LEASE_S),
        "CACHE_ENABLED": "false",
        "LOG_FORMAT": "json",
    }


@pytest.fixture
def start_worker(worker_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts workers, with settings of their own, and waits until they are ready."""
    started: list[WorkerProcess] = []

    def start(**settings: str) -> WorkerProcess:
        (port,) = free_ports(1)
        environment = {**os.environ, **worker_environment, "WORKER_PORT": str(port), **settings}
        log = tmp_path / f"worker-{len(started)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway.worker"], cwd=CHECKOUT, env=environment, stderr=file
            )
        worker = WorkerProcess(process, f"http://127.0.0.1:{port}", log)
        started.append(worker)
        eventually(lambda: worker.answers() or process.poll() is not None, 30, "the worker is ready")
        assert process.poll() is None, log.read_text()
        return worker

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait(10)


@pytest.fixture
async def desk(worker_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """The stores that the workers use."""
    async with desk_of(worker_environment, monkeypatch) as opened:
        yield opened


@asynccontextmanager
async def desk_of(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """The stores that workers with this environment use."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    async with open_desk(Settings.from_environment()) as opened:
        yield opened
