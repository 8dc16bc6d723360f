"""An application that tells what it was asked, and a client that sends any bytes."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import Message, Receive, Scope, Send

from gateway.listening import Config, Limits, Server


@dataclass
class Echo:
    """Answers with the request as JSON; what it was asked is in `seen`, in the order of the heads."""

    seen: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(f"{scope['method']} {scope['path']}")
        handlers = {
            "/early": self._early,
            "/events": self._events,
            "/fail": self._fail,
            "/hang": self._hang,
            "/large": self._large,
            "/late": self._late,
        }
        await handlers.get(scope["path"], self._echo)(scope, receive, send)

    async def _echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await self._read(receive)
        self.bodies.append(body)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        told = {"path": scope["path"], "query": scope["query_string"].decode(), "body": body.decode("latin-1")}
        await answer(send, json.dumps({**told, "headers": headers}).encode())

    async def _read(self, receive: Receive) -> bytes:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                return body
        self.gone.set()
        return body

    async def _early(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send, b"enough", status=413)

    async def _hang(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Until the client goes, or the test lets it go on."""
        await self._read(receive)
        leaving, going = asyncio.ensure_future(receive()), asyncio.ensure_future(self.go_on.wait())
        await asyncio.wait((leaving, going), return_when=asyncio.FIRST_COMPLETED)
        if going.done():
            leaving.cancel()
            await answer(send, b"done")
            return
        assert leaving.result()["type"] == "http.disconnect"
        going.cancel()
        self.gone.set()

    async def _late(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The body is not read before the test lets it."""
        await self.go_on.wait()
        await self._echo(scope, receive, send)

    async def _fail(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        raise LookupError

    async def _large(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await answer(send, bytes(8 << 20))

    async def _events(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """One event, and a second one when the test lets it."""
        start: Message = {"type": "http.response.start", "status": 200, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await self.go_on.wait()
        await send({"type": "http.response.body", "body": b"data: 2\n\n"})


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True)
class Served:
    """An echo that is being served."""

    echo: Echo
    port: int
    server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    async def send(self, *parts: bytes) -> bytes:
        """What comes back for these bytes, each part sent when the ones before have gone, until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        received = await asyncio.wait_for(reader.read(), 15)
        writer.close()
        return received

    async def connect(self, source: str = "127.0.0.1") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))


@asynccontextmanager
async def echoing(limits: Limits | None = None) -> AsyncIterator[Served]:
    echo = Echo()
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(Config(echo, limits or Limits()))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield Served(echo, listener.getsockname()[1], server)
    finally:
        server.should_exit = True
        await serving


def statuses(received: bytes) -> list[int]:
    """Of each answer in turn."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]
