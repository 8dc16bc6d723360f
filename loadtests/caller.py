"""Callers that cost little: HTTP/1.1 over asyncio streams, so that the two cores are free for what is measured."""

import asyncio
import random
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BOUNDARY = b"maskwright-bench"


@dataclass(frozen=True)
class Load:
    """What a run of callers saw: total seconds, and the latency of each request in milliseconds."""

    wall: float
    latencies: NDArray[np.float64]

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.latencies) / self.wall

    def percentile(self, share: float) -> float:
        """A percentile of the latency, milliseconds."""
        return float(np.percentile(self.latencies, share))


def multipart_request(host: str, port: int, path: str, photo: bytes, fields: dict[str, str]) -> bytes:
    """The bytes of one POST."""
    parts = [_part(f'name="{name}"', value.encode()) for name, value in fields.items()]
    parts.append(_part('name="image"; filename="photo.jpg"\r\nContent-Type: image/jpeg', photo))
    body = b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAccept: */*\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY.decode()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def call_repeatedly(  # noqa: PLR0913, PLR0917 a load has that many sides
    host: str, port: int, request: bytes, callers: int, seconds: float, pause_s: float = 0.0
) -> Load:
    """Send the request over `callers` connections. Each sends again when it has its answer and has paused.

    Raises RuntimeError for an answer other than 200.
    """
    end = time.perf_counter() + seconds
    start = time.perf_counter()
    latencies = await asyncio.gather(*(_caller(host, port, request, end, pause_s) for _ in range(callers)))
    return Load(time.perf_counter() - start, np.array([value for one in latencies for value in one]))


def _part(disposition: str, value: bytes) -> bytes:
    head = b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; " + disposition.encode()
    return head + b"\r\n\r\n" + value + b"\r\n"


async def _caller(host: str, port: int, request: bytes, end: float, pause_s: float) -> list[float]:
    reader, writer = await asyncio.open_connection(host, port)
    await _pause(pause_s)
    latencies = []
    while time.perf_counter() < end:
        sent = time.perf_counter()
        writer.write(request)
        await _read_answer(reader)
        latencies.append((time.perf_counter() - sent) * 1e3)
        await _pause(pause_s)
    writer.close()
    await writer.wait_closed()
    return latencies


async def _pause(pause_s: float) -> None:
    """A different pause each time, so that callers do not run in step."""
    await asyncio.sleep(pause_s * random.uniform(0.0, 2.0))  # noqa: S311


async def _read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
    body = await reader.readexactly(length)
    if b" 200 " not in lines[0]:
        raise RuntimeError(f"{lines[0].decode()}: {body[:300].decode(errors='replace')}")
    return body
