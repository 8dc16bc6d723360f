import asyncio
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import anyio
import pytest

from deploy.embedded.folders import Folders
from deploy.embedded.s3_kafka import S3
from gateway.errors import Problem
from gateway.s3.buckets import S3Buckets, open_buckets
from gateway.settings import Settings, SettingsError
from tests.integration.s3.gateways import Refusal, gateway_before, refusal
from tests.ports import free_ports, free_s3_port

T = TypeVar("T")

EMPTY = b"<ListBucketResult><Name>b</Name><Prefix></Prefix><KeyCount>0</KeyCount></ListBucketResult>"


class BareServer:
    """An S3 server that nobody watches: it stays as a test leaves it."""

    def __init__(self, home: Path) -> None:
        folders = Folders(home)
        folders.create()
        port = free_s3_port()
        account = {"minio_access_key": "app", "minio_secret_key": "secret of app"}
        self.settings = Settings(s3_port=port, minio_endpoint=f"127.0.0.1:{port}", **account)
        self._service = S3(self.settings, folders)

    @contextmanager
    def running(self) -> Iterator["subprocess.Popen[bytes]"]:
        self._service.prepare()
        process = subprocess.Popen(self._service.command(), env=self._service.environment(), stderr=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            self._service.clean_up()


@pytest.fixture
def server(tmp_path):
    return BareServer(tmp_path)


async def answered(work: Callable[[], Awaitable[T]]) -> T:
    """What comes of it once the server is back: for a moment it lists objects that it cannot read yet."""
    with anyio.fail_after(60):
        while True:
            with suppress(Problem):
                return await work()
            await anyio.sleep(0.2)


def everything(buckets: S3Buckets) -> list[Awaitable[object]]:
    return [
        buckets.artifacts.put("other", bytes(10_000_000), "image/png"),
        buckets.artifacts.get("k"),
        buckets.artifacts.keys("k"),
        buckets.artifacts.remove(["other"]),
        buckets.artifacts.check(),
        buckets.images.get("masks/k"),
    ]


async def all_unavailable(buckets: S3Buckets) -> list[Problem]:
    """What they fail with, none waiting for another."""
    problems = await asyncio.gather(*everything(buckets), return_exceptions=True)
    assert [getattr(problem, "code", problem) for problem in problems] == ["storage_unavailable"] * len(problems)
    assert all("Retry-After" in problem.headers and problem.transient for problem in problems)
    return problems


async def test_callers_do_not_wait_for_a_hanging_server_which_is_used_again_later(server):
    with server.running() as process:
        async with open_buckets(server.settings) as buckets:
            await answered(lambda: buckets.artifacts.put("k", b"mask", "image/png"))
            os.kill(process.pid, signal.SIGSTOP)
            try:
                problems = await asyncio.wait_for(all_unavailable(buckets), 30)
            finally:
                os.kill(process.pid, signal.SIGCONT)
            assert all("S3 did not answer" in problem.detail for problem in problems)
            assert (await answered(lambda: buckets.artifacts.get("k"))).data == b"mask"


async def test_a_killed_server_is_noticed_and_used_again_when_it_is_back(server):
    with server.running():
        opened = open_buckets(server.settings)
        buckets = await opened.__aenter__()
        await answered(lambda: buckets.artifacts.put("k", b"mask", "image/png"))
    try:
        await all_unavailable(buckets)
        with server.running():
            assert (await answered(lambda: buckets.artifacts.get("k"))).data == b"mask"
            await answered(lambda: buckets.artifacts.put("k", b"other", "image/png"))
    finally:
        await opened.__aexit__(None, None, None)


async def test_opening_waits_for_a_server_that_comes_late(server):
    opening = asyncio.create_task(open_buckets(server.settings).__aenter__())
    done, _ = await asyncio.wait({opening}, timeout=1)
    assert not done
    with server.running():
        buckets = await asyncio.wait_for(opening, 30)
        await answered(lambda: buckets.artifacts.put("k", b"mask", "image/png"))


async def test_without_a_server_opening_ends_and_names_the_setting(monkeypatch):
    monkeypatch.setattr("gateway.s3.buckets._OPENING_S", 1)
    endpoint = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(Problem, match=f"storage_unavailable: No S3 server at MINIO_ENDPOINT={endpoint} within 1 s"):
        async with open_buckets(Settings(minio_endpoint=endpoint)):
            pass


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (400, "InvalidRegionName", "AWS_REGION=mars: InvalidRegionName"),
        (403, "RequestTimeTooSkewed", "S3 refuses us: RequestTimeTooSkewed"),
        (403, "AllAccessDisabled", "S3 refuses us: AllAccessDisabled"),
        (401, "Unauthorized", "S3 refuses us: Unauthorized"),
        (400, "TooManyBuckets", "S3 refuses us: TooManyBuckets"),
    ],
)
async def test_a_permanent_refusal_of_the_server_is_reported_at_once(monkeypatch, status, code, says):
    monkeypatch.delenv("MINIO_REGION", raising=False)
    monkeypatch.setenv("AWS_REGION", "mars")
    with (
        gateway_before("127.0.0.1:1", lambda _request: refusal(status, code)) as gateway,
        pytest.raises(SettingsError, match=says),
    ):
        async with open_buckets(Settings(**account(gateway.endpoint), minio_region="mars")):
            pass


async def test_an_html_page_is_not_taken_for_an_s3_server(monkeypatch):
    monkeypatch.setattr("gateway.s3.buckets._OPENING_S", 0.5)
    page = Refusal(200, b"<html>console</html>", "text/html")
    with (
        gateway_before("127.0.0.1:1", lambda _request: page) as gateway,
        pytest.raises(Problem, match="No S3 server at MINIO_ENDPOINT="),
    ):
        async with open_buckets(Settings(**account(gateway.endpoint))):
            pass


@pytest.mark.parametrize("bucket", ["a..b", "bücket", "192.168.1.1"])
async def test_an_impossible_bucket_name_is_reported_with_its_variable(monkeypatch, bucket):
    monkeypatch.setenv("S3_BUCKET", bucket)
    monkeypatch.delenv("MINIO_BUCKET", raising=False)
    with (
        gateway_before("127.0.0.1:1", lambda _request: Refusal(200, EMPTY)) as gateway,
        pytest.raises(SettingsError, match=f"S3_BUCKET={bucket}: "),
    ):
        async with open_buckets(Settings(**account(gateway.endpoint), minio_bucket=bucket)):
            pass


def account(endpoint: str) -> dict[str, str]:
    return {"minio_endpoint": endpoint, "minio_access_key": "app", "minio_secret_key": "secret of app"}
