"""A wire to the server that loses answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Wire:
    """Passes bytes on.

    `lose_after` holds what, once sent, cuts the connection before its answer arrives; `refusals` counts connections
    that are still to be refused; while `answers` is not set, answers wait.
    """

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self._cut: set[asyncio.StreamWriter] = set()
        self.lose_after: list[bytes] = []
        self.refusals = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        if self.refusals:
            self.refusals -= 1
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection(*self._address)
        with suppress(OSError):
            await asyncio.gather(
                self._forth(reader, server_writer, writer), self._back(server_reader, writer), return_exceptions=True
            )
        for one in (writer, server_writer):
            one.close()

    async def _forth(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            for phrase in [phrase for phrase in self.lose_after if phrase in data]:
                self.lose_after.remove(phrase)
                self._cut.add(client)
            server.write(data)
        server.close()

    async def _back(self, server: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        while data := await server.read(65536):
            await self.answers.wait()
            if client in self._cut:
                break
            client.write(data)
        client.close()


@asynccontextmanager
async def wire_to(dsn: str) -> AsyncIterator[tuple[Wire, str]]:
    """A wire, and the DSN by which a server is reached through it."""
    parts = urlsplit(dsn)
    assert parts.hostname
    assert parts.port
    wire = Wire(parts.hostname, parts.port)
    server = await asyncio.start_server(wire.connect, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    login = parts.netloc.rpartition("@")[0]
    try:
        yield wire, urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))
    finally:
        server.close()
