"""A stack for one measurement, in a temporary folder, and the photo that is sent to it."""

import asyncio
import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import numpy as np

from deploy.embedded import launcher
from deploy.embedded.folders import Folders
from gateway.background import stopping
from gateway.settings import Settings


@contextlib.contextmanager
def bench_stack(**given: str) -> Iterator[Settings]:
    """Start everything with the environment's settings and the given ones, and stop it at the end."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["MASKWRIGHT_HOME"] = home
        os.environ["ALLOWED_NETWORKS"] = "127.0.0.0/8"  # the photos come from this machine
        os.environ.update(given)
        folders = Folders(Path(home))
        folders.create()
        with stopping() as stop:
            started = launcher.start(folders, stop, launcher.ATTACHED)
            try:
                with stop.interrupting():
                    yield Settings.from_environment()
            finally:
                launcher.end(started)


SIZE = (1024, 768)


def benchmark_jpeg(photo: Path) -> bytes:
    """A 1024×768 JPEG of a photo, quality 90."""
    pixels = cv2.resize(np.asarray(cv2.imread(str(photo))), SIZE, interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


@asynccontextmanager
async def photo_server(jpeg: bytes) -> AsyncIterator[str]:
    """The URL of the photo, on loopback. It costs nearly nothing, so that the cores are free for what is measured."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\nConnection: close\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode() + jpeg)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/photo.jpg"
