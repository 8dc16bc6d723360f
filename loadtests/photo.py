"""The photo for measurements, and a server for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cv2
import numpy as np

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
