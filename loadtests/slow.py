"""`python -m loadtests.slow`: how thousands of slow connections of one caller affect the others."""

import asyncio
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.table import Table

from exporters.catalogue import DEFAULT_PATHS
from gateway.settings import Settings
from loadtests.caller import call_repeatedly, multipart_request
from loadtests.durable import Memory
from loadtests.stack import bench_stack, benchmark_jpeg

ATTACKER = "127.0.0.2"
"""Source address of the slow connections. The others use 127.0.0.1."""
_TRICKLE_S = 4.0
_AGAIN_S = 1.0
"""Seconds until a closed connection is opened again."""
_QUICK, _QUICK_S = 20, 0.05
_FAT = b"X-Fat: " + b"y" * 30_000
_POST = b"POST /v1/run/privacy_blur HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n"
_STARTS = {
    "heads": _POST + b"X-Slow: ",
    "fat heads": _POST + _FAT,
    "bodies": _POST + b"Content-Length: 1000000\r\n\r\n",
    "chunks": _POST + b"Transfer-Encoding: chunked\r\n\r\n",
    "silent": b"",
}
_TRICKLES = {"heads": b"z", "fat heads": b"z", "bodies": b"z", "chunks": b"1\r\nz\r\n"}

app = typer.Typer()


@app.command()
def measure(
    connections: Annotated[int, typer.Option(help="Slow ones, of one caller.")] = 2000,
    callers: Annotated[int, typer.Option(help="Others, of a photo each.")] = 4,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 10.0,
    source: Annotated[str, typer.Option(help="The slow caller's address; 127.0.0.1 is the others' own.")] = ATTACKER,
) -> None:
    """Print the others' latency and the gateway's memory, alone and with each kind of slow connection."""
    table = Table("beside", "p50 ms", "p99 ms", "gateway MiB", title=f"{connections} slow connections")
    jpeg = benchmark_jpeg(DEFAULT_PATHS.files / "zidane.jpg")
    with bench_stack(CACHE_ENABLED="false") as settings:
        for kind in (None, *_STARTS):
            with _slow(settings.api_port, kind, connections, source):
                seen = _others(settings, jpeg, callers, seconds)
                memory = Memory.now(settings).services["gateway"]
            table.add_row(kind or "alone", *seen, f"{memory:.0f}")
    Console().print(table)


@app.command()
def hold(port: int, kind: str, connections: int, source: str) -> None:
    """Hold slow connections of a kind until killed. A line on stdout tells when all are open."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(_hold(port, kind, connections, source))


def _others(settings: Settings, jpeg: bytes, callers: int, seconds: float) -> tuple[str, str]:
    """p50 and p99, or that they are refused."""
    post = multipart_request("127.0.0.1", settings.api_port, "/v1/run/privacy_blur", jpeg, {"hide": "faces"})
    try:
        load = asyncio.run(call_repeatedly("127.0.0.1", settings.api_port, post, callers, seconds))
    except (RuntimeError, OSError) as error:
        return "turned away", str(error).partition(":")[0]
    return f"{load.percentile(50):.0f}", f"{load.percentile(99):.0f}"


@contextmanager
def _slow(port: int, kind: str | None, connections: int, source: str) -> Iterator[None]:
    if kind is None:
        yield
        return
    command = [sys.executable, "-m", "loadtests.slow", "hold", str(port), kind, str(connections), source]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as holder:
        try:
            if holder.stdout is None or not holder.stdout.readline():
                raise RuntimeError(f"no slow connections: {kind}")
            _until_taken(port)
            yield
        finally:
            holder.kill()


def _until_taken(port: int) -> None:
    """Wait until the gateway has read all heads, which come at once: only the steady state is measured."""
    url, quick = f"http://127.0.0.1:{port}/health/live", 0
    while quick < _QUICK:
        began = time.monotonic()
        httpx.get(url, timeout=30, trust_env=False)
        quick = quick + 1 if time.monotonic() - began < _QUICK_S else 0


async def _hold(port: int, kind: str, connections: int, source: str) -> None:
    opened = asyncio.Semaphore(0)
    holders = [asyncio.create_task(_holder(port, kind, source, opened)) for _ in range(connections)]
    for _ in holders:
        await opened.acquire()
    print("all opened", flush=True)  # noqa: T201 the parent waits for it
    await asyncio.gather(*holders)


async def _holder(port: int, kind: str, source: str, opened: asyncio.Semaphore) -> None:
    """One connection after the other, each held for as long as the gateway allows."""
    first = True
    while True:
        with suppress(OSError):
            await _held(port, kind, source, opened if first else None)
        first = False
        await asyncio.sleep(_AGAIN_S)


async def _held(port: int, kind: str, source: str, opened: asyncio.Semaphore | None) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as connection:
        connection.setblocking(False)  # noqa: FBT003 the socket's own method
        connection.bind((source, 0))
        try:
            await loop.sock_connect(connection, ("127.0.0.1", port))
            await loop.sock_sendall(connection, _STARTS[kind])
        finally:
            if opened is not None:
                opened.release()
        while True:
            await asyncio.sleep(_TRICKLE_S)
            await loop.sock_sendall(connection, _TRICKLES.get(kind, b""))
            with suppress(BlockingIOError):  # nothing has come, so it is still held
                connection.recv(1)
                return


if __name__ == "__main__":
    app()
