"""Clients with manners good and bad; all that is left to chance is drawn beforehand."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from tests.chaos.messages import Message

TRICKLED_BYTES = 40
TRICKLE_S = 0.01


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Exchange:
    """A message, its answer (none where the client left first), and the seconds the client waited."""

    message: Message
    answer: Answer | None
    seconds: float


class Line:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Hand all of it to the system, as far as the server takes it."""
        self._writer.write(data)
        await self._writer.drain()

    async def hear(self, message: Message) -> Exchange:
        """The next answer. Raises asyncio.IncompleteReadError where the server ends the connection before it."""
        start = time.monotonic()
        answer = await self._answer()
        while answer.status == 100:
            answer = await self._answer()
        return Exchange(message, answer, time.monotonic() - start)

    def hang_up(self) -> None:
        """Leave at once, whatever was not sent or read."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Leave politely."""
        self._writer.close()
        await asyncio.wait({asyncio.ensure_future(self._writer.wait_closed())})

    async def _answer(self) -> Answer:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split()[1])
        if status == 100:
            return Answer(status, headers, b"")
        length = headers.get("content-length")
        body = await (self._reader.read() if length is None else self._reader.readexactly(int(length)))
        return Answer(status, headers, body)


@dataclass(frozen=True)
class Visit:
    """One client over one connection; `chance` in [0, 1) decides how far a client of bad manners goes."""

    manner: "Manner"
    messages: tuple[Message, ...]
    chance: float = 0.0


Manner = Callable[[Line, Visit], Awaitable[list[Exchange]]]


async def in_turn(line: Line, visit: Visit) -> list[Exchange]:
    """Send each message when the one before it was answered."""
    exchanges = []
    for message in visit.messages:
        sending = asyncio.ensure_future(line.send(message.wire))
        exchanges.append(await line.hear(message))
        await asyncio.wait({sending})
    return exchanges


async def pipelined(line: Line, visit: Visit) -> list[Exchange]:
    """Send all messages at once."""
    sending = asyncio.ensure_future(line.send(b"".join(message.wire for message in visit.messages)))
    exchanges = [await line.hear(message) for message in visit.messages]
    await asyncio.wait({sending})
    return exchanges


async def trickling(line: Line, visit: Visit) -> list[Exchange]:
    """Send the head and a little of the body byte by byte, then the rest."""
    (message,) = visit.messages
    hearing = asyncio.ensure_future(line.hear(message))
    start = message.body_at - TRICKLED_BYTES // 2
    await line.send(message.wire[:start])
    for position in range(start, start + TRICKLED_BYTES):
        await line.send(message.wire[position : position + 1])
        await asyncio.wait({hearing}, timeout=TRICKLE_S)
    await line.send(message.wire[start + TRICKLED_BYTES :])
    return [await hearing]


async def leaves_midway(line: Line, visit: Visit) -> list[Exchange]:
    """Leave in the middle of the upload."""
    (message,) = visit.messages
    await line.send(message.wire[: int(len(message.wire) * visit.chance)])
    return _left(line, visit)


async def leaves_after_upload(line: Line, visit: Visit) -> list[Exchange]:
    """Leave when the last byte is sent."""
    await line.send(visit.messages[0].wire)
    return _left(line, visit)


async def leaves_waiting(line: Line, visit: Visit) -> list[Exchange]:
    """Leave while the answer is computed."""
    (message,) = visit.messages
    hearing = asyncio.ensure_future(line.hear(message))
    await line.send(message.wire)
    await asyncio.wait({hearing}, timeout=visit.chance)
    if hearing.done():
        return [await hearing]
    hearing.cancel()
    return _left(line, visit)


def _left(line: Line, visit: Visit) -> list[Exchange]:
    """Half of those who leave say goodbye (FIN), half do not (RST)."""
    if int(visit.chance * 1000) % 2:
        line.hang_up()
    return [Exchange(message, None, 0.0) for message in visit.messages]


async def pay(visit: Visit, host: str, port: int, limit_s: float) -> list[Exchange]:
    """Pay the visit; one that the server breaks off, or that takes longer than the limit, has an answer of status 0."""
    start = time.monotonic()
    reader, writer = await asyncio.open_connection(host, port)
    writer.transport.set_write_buffer_limits(0)
    line = Line(reader, writer)
    try:
        return await asyncio.wait_for(visit.manner(line, visit), limit_s)
    except (TimeoutError, asyncio.IncompleteReadError, OSError) as error:
        line.hang_up()
        broken = Answer(0, {}, repr(error).encode())
        return [Exchange(message, broken, time.monotonic() - start) for message in visit.messages]
    finally:
        await line.close()


async def pay_all(visits: Iterable[Visit], host: str, port: int, limit_s: float, clients: int) -> list[Exchange]:
    """Pay the visits in order, as many at a time as there are clients."""
    left = iter(visits)
    paid: list[Exchange] = []

    async def client() -> None:
        for visit in left:
            paid.extend(await pay(visit, host, port, limit_s))

    await asyncio.gather(*(client() for _ in range(clients)))
    return paid
