"""The whole stack: what is started, what is not, what it tells, what it keeps."""

import asyncio
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from minio import Minio

from deploy.embedded.s3_kafka import BUCKET
from tests.processes import group_members
from tests.servers import S3Server, fresh_database
from tests.stack import CHECKOUT, RunningStack, eventually, running_stack

SERVERS = {"postgres", "s3", "kafka"}
MASKWRIGHT = Path(sys.executable).with_name("maskwright")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with running_stack(tmp_path_factory.mktemp("whole"), WORKER_PROCESSES="2", PIPELINES="body_masks") as running:
        yield running


def maskwright(stack: RunningStack, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**stack.environment, "COLUMNS": "200"}
    return subprocess.run(
        [MASKWRIGHT, *arguments], cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False
    )


def addresses(stack: RunningStack) -> dict[str, str]:
    lines = maskwright(stack, "env").stdout.splitlines()
    return dict(shlex.split(line)[1].split("=", 1) for line in lines)


def services(stack: RunningStack) -> set[str]:
    return set(stack.state()["services"])


def test_every_service_runs_and_is_reported_ready(whole: RunningStack) -> None:
    assert services(whole) == {*SERVERS, "triton", "gateway", "worker", "worker-2"}
    status = maskwright(whole, "status")
    assert status.returncode == 0
    assert status.stdout.count("ready") == 7
    assert whole.environment["KAFKA_PORT"] in status.stdout
    assert "ready to accept connections" in maskwright(whole, "logs", "postgres", "-n", "200").stdout


def test_each_worker_has_a_health_page(whole: RunningStack) -> None:
    first = int(whole.environment["WORKER_PORT"])
    answers = [httpx.get(f"http://127.0.0.1:{first + number}/health/live") for number in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]


def test_only_the_owner_can_read_the_passwords(whole: RunningStack) -> None:
    assert (whole.home / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert (whole.home / "data" / "s3.json").stat().st_mode & 0o777 == 0o600
    state = (whole.home / "stack.json").read_text()
    assert not [value for name, value in addresses(whole).items() if "KEY" in name and value in state]


async def test_env_prints_the_addresses_for_other_tools(whole: RunningStack) -> None:
    given = addresses(whole)
    connection = await asyncpg.connect(given["POSTGRES_DSN"])
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    keys = (given["MINIO_ACCESS_KEY"], given["MINIO_SECRET_KEY"])
    assert Minio(given["MINIO_ENDPOINT"], *keys, secure=False).bucket_exists(BUCKET)
    async with AIOKafkaProducer(bootstrap_servers=given["KAFKA_BOOTSTRAP_SERVERS"], acks="all") as producer:
        assert await producer.send_and_wait("greetings", b"hello")


def test_status_with_watch_runs_until_ctrl_c(whole: RunningStack) -> None:
    terminal, theirs = pty.openpty()
    environment = {**whole.environment, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    command = [MASKWRIGHT, "status", "--watch"]
    watching = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    seen = b""
    while seen.count(b"postgres") < 3:
        seen += os.read(terminal, 4096)
    watching.send_signal(signal.SIGINT)
    assert watching.wait(10) == 0
    os.close(terminal)


def test_killed_servers_are_restarted_in_parallel(whole: RunningStack) -> None:
    old = {name: whole.pid(name) for name in (*SERVERS, "worker", "worker-2", "gateway")}
    for pid in old.values():
        os.kill(pid, signal.SIGKILL)
    eventually(
        lambda: all(whole.pid(name) != pid and whole.is_ready(name) for name, pid in old.items()),
        60,
        "all are back",
    )
    eventually(lambda: httpx.get(f"{whole.url}/health/ready").status_code == httpx.codes.OK, 30, "the gateway is ready")


def test_triton_is_restarted_if_one_of_its_python_processes_dies(whole: RunningStack) -> None:
    old = whole.pid("triton")
    children = [pid for pid in group_members(old) if pid != old]
    assert children
    for child in children:
        os.kill(child, signal.SIGKILL)
    eventually(lambda: whole.pid("triton") != old and whole.is_ready("triton"), 60, "Triton is back")
    eventually(lambda: httpx.get(f"{whole.url}/health/ready").status_code == httpx.codes.OK, 30, "the gateway is ready")


async def test_a_server_whose_address_is_given_is_not_started(
    tmp_path: Path, postgres_dsn: str, s3_server: S3Server, kafka_server: str
) -> None:
    given = {
        "POSTGRES_DSN": await asyncio.to_thread(fresh_database, postgres_dsn),
        "MINIO_ENDPOINT": s3_server.endpoint,
        "MINIO_ACCESS_KEY": s3_server.access_key,
        "MINIO_SECRET_KEY": s3_server.secret_key,
        "KAFKA_BOOTSTRAP_SERVERS": kafka_server,
    }
    with running_stack(tmp_path, PIPELINES="detect", **given) as stack:
        assert services(stack) == {"triton", "gateway", "worker"}
        assert addresses(stack).items() >= given.items()
        bare = RunningStack(stack.home, bare_shell(stack))
        assert addresses(bare) == addresses(stack)
    assert list((tmp_path / "data").iterdir()) == []
    assert list((tmp_path / "kept").iterdir()) == []


def test_without_a_database_only_triton_and_the_gateway_are_started(tmp_path: Path) -> None:
    with running_stack(tmp_path, DB_USE_DATABASE="false", PIPELINES="face_contours") as stack:
        assert services(stack) == {"triton", "gateway"}
        assert stack.url.endswith(f":{addresses(stack)['API_PORT']}")
        assert not {"POSTGRES_DSN", "POSTGRES_PORT"} & set(addresses(stack))
    assert not (tmp_path / "secrets.json").exists()


def bare_shell(stack: RunningStack) -> dict[str, str]:
    """Another shell than the one that started the stack, in the same folder."""
    return {name: stack.environment[name] for name in ("PATH", "MASKWRIGHT_HOME")}


@pytest.mark.parametrize("command", [["jobs", "list"], ["keys", "list"], ["migrate"], ["audit"], ["cache", "stats"]])
def test_a_command_in_another_shell_finds_the_stack(whole: RunningStack, command: list[str]) -> None:
    ended = subprocess.run([MASKWRIGHT, *command], env=bare_shell(whole), capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_command_in_a_shell_with_other_addresses_prints_a_note(whole: RunningStack) -> None:
    other = {**bare_shell(whole), "API_PORT": "1"}
    ended = subprocess.run([MASKWRIGHT, "jobs", "list"], env=other, capture_output=True, text=True, check=False)
    told, away = ended.stderr.splitlines()
    assert told == "API_PORT differs in this shell from what the running stack has; this shell's counts"
    assert away.startswith("No gateway answers at http://127.0.0.1:1;")


def test_up_in_a_shell_that_evaluated_env_starts_the_same_stack(whole: RunningStack) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SERVICES, str(whole.home)],
        env={**whole.environment, **addresses(whole), "WORKER_PROCESSES": "1"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(ended.stdout.split()) == {*SERVERS, "triton", "gateway", "worker"}


SERVICES = """
import pathlib, sys
from deploy.embedded.folders import Folders
from deploy.embedded.stack import services_for
from gateway.settings import Settings
print(*(service.name for service in services_for(Settings.from_environment(), Folders(pathlib.Path(sys.argv[1])))))
"""
