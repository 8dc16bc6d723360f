"""Clients that send or read slowly, each over a connection of its own."""

import asyncio
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from tests.integration.gateway.jobs.house import House

FORM = "multipart/form-data; boundary=x"
FILE = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'


@dataclass
class Connection:
    """One connection, from a loopback address of the caller's choice."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, house: House, address: str = "127.0.0.1", *, small: bool = False) -> Self:
        """Connect; with a `small` buffer for what comes."""
        url, connection = house.client.base_url, socket.socket()
        if small:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.bind((address, 0))
        connection.setblocking(False)  # noqa: FBT003
        await asyncio.get_running_loop().sock_connect(connection, (url.host, url.port))
        return cls(*await asyncio.open_connection(sock=connection, limit=2**24))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.transport.abort()

    def send(self, content: bytes) -> None:
        """Send without waiting."""
        self.writer.write(content)

    def head(self, path: str, *fields: str, method: str = "POST") -> None:
        """Send the head of a request."""
        self.send("\r\n".join((f"{method} {path} HTTP/1.1", "Host: localhost", *fields, "", "")).encode())

    async def answer(self, timeout_s: float = 20) -> httpx.Response:
        """The answer, read to its end."""
        async with asyncio.timeout(timeout_s):
            status, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = [tuple(line.split(": ", 1)) for line in lines]
            length = int(dict(headers).get("content-length", "0"))
            content = await self.reader.readexactly(length)
        return httpx.Response(int(status.split()[1]), headers=headers, content=content)


def chunk(content: bytes) -> bytes:
    """A chunk of a chunked body."""
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"
