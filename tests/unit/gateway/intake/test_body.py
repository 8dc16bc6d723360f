"""What a body costs before any of it is read."""

import asyncio
from typing import cast

import uvloop

from gateway.intake.bodies import FIRST_BYTES
from gateway.listening import BoundedProtocol
from tests.echo import Served, echoing


def test_the_first_memory_reservation_covers_the_servers_buffer_of_an_unread_body() -> None:
    uvloop.run(flood())


async def flood() -> None:
    async with echoing() as served:
        _, writer = await served.connect()
        writer.write(b"POST /late HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n" + bytes(8_000_000))
        async with asyncio.timeout(10):
            while not any(one.flow.read_paused for one in connections(served)):
                await asyncio.sleep(0.01)
        assert FIRST_BYTES // 2 < buffered(served) <= FIRST_BYTES
        writer.transport.abort()
        served.echo.go_on.set()


def buffered(served: Served) -> int:
    """Bytes of bodies that came, and were not taken."""
    return sum(len(one.cycle.body) + len(one.conn.trailing_data[0]) for one in connections(served))


def connections(served: Served) -> set[BoundedProtocol]:
    return cast("set[BoundedProtocol]", served.server.server_state.connections)
