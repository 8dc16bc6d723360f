"""Bounds of size and time, who is closed where there are too many, and how it all ends."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from gateway import listening
from gateway.listening import MAX_HEAD_BYTES, Limits
from tests.echo import Served, echoing, statuses

FLOOD = 48 << 20
"""More than the kernel's buffers of both ends take."""


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with echoing() as served:
        yield served


def get(path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


def post(path: str, length: int, more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n".encode()


async def until_seen(served: Served, count: int) -> None:
    async with asyncio.timeout(10):
        while len(served.echo.seen) < count:
            await asyncio.sleep(0.01)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What comes until the end."""
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""


async def flooded(writer: asyncio.StreamWriter, part: bytes) -> bool:
    """Whether the server takes the whole flood."""

    async def flood() -> None:
        for _ in range(FLOOD // len(part)):
            writer.write(part)
            await writer.drain()

    try:
        async with asyncio.timeout(1.5):
            await flood()
    except TimeoutError:
        return False
    return True


async def test_a_body_is_read_no_faster_than_the_application_takes_it(served: Served) -> None:
    _, writer = await served.connect()
    writer.write(post("/late", FLOOD))
    assert not await flooded(writer, bytes(65536))
    writer.transport.abort()
    served.echo.go_on.set()


async def test_requests_before_their_turn_are_not_read_without_end(served: Served) -> None:
    _, writer = await served.connect()
    writer.write(get("/hang"))
    await until_seen(served, 1)
    assert not await flooded(writer, get("/next") * 2000)
    assert served.echo.seen == ["GET /hang"]
    writer.transport.abort()
    served.echo.go_on.set()


async def test_requests_sent_at_once_are_answered_in_turn(served: Served) -> None:
    requests = b"".join(post(f"/{number}", 3) + b"abc" for number in range(2000))
    received = await served.send(requests + get("/last", "Connection: close\r\n"))
    assert statuses(received) == [200] * 2001
    assert served.echo.seen == [*(f"POST /{number}" for number in range(2000)), "GET /last"]


async def test_a_client_is_asked_to_go_on_only_where_its_body_is_wanted(served: Served) -> None:
    expecting = "Expect: 100-continue\r\n"
    reader, writer = await served.connect()
    writer.write(post("/", 3, expecting))
    assert await reader.readexactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"abc" + post("/early", 3, expecting))
    assert statuses(await reader.readuntil(b"enough")) == [200, 413]


async def test_a_client_that_is_refused_early_reads_why_after_it_has_sent_all(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(post("/early", FLOOD))
    assert await flooded(writer, bytes(65536))
    assert statuses(await reader.readuntil(b"enough")) == [413]
    writer.write(get("/", "Connection: close\r\n"))
    assert statuses(await ended(reader)) == [200]


@pytest.mark.parametrize("leave", ["close", "reset", "half"])
async def test_a_disconnected_client_is_noticed(served: Served, leave: str) -> None:
    _, writer = await served.connect()
    writer.write(post("/hang", 3) + b"abc")
    await until_seen(served, 1)
    if leave == "reset":
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    elif leave == "half":
        writer.write_eof()
    else:
        writer.close()
    async with asyncio.timeout(5):
        await served.echo.gone.wait()


async def test_a_client_that_disconnects_while_sending_its_body_is_noticed(served: Served) -> None:
    _, writer = await served.connect()
    writer.write(post("/", 10) + b"abc")
    await until_seen(served, 1)
    writer.close()
    async with asyncio.timeout(5):
        await served.echo.gone.wait()


async def test_events_are_sent_as_they_come(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(get("/events", "Connection: close\r\n"))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"transfer-encoding: chunked\r\n" in head.lower()
    assert await reader.readuntil(b"data: 1\n\n\r\n") == b"9\r\ndata: 1\n\n\r\n"
    served.echo.go_on.set()
    assert await ended(reader) == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


async def test_an_answer_of_no_known_length_to_http_1_0_ends_with_the_connection(served: Served) -> None:
    served.echo.go_on.set()
    received = await served.send(b"GET /events HTTP/1.0\r\n\r\n")
    assert b"chunked" not in received
    assert received.endswith(b"\r\n\r\ndata: 1\n\ndata: 2\n\n")


async def test_an_answer_to_head_has_no_body(served: Served) -> None:
    received = await served.send(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"\r\ncontent-length: " in head
    assert not body


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(get("/fail") + get("/next"))
    assert not (await ended(reader)).endswith(b"}")
    assert served.echo.seen == ["GET /fail"]


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost:"], ids=["nothing", "a part"])
async def test_a_head_that_does_not_come_in_time_ends_the_connection(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(listening, "HEAD_TIMEOUT_S", 0.2)
    reader, writer = await served.connect()
    writer.write(sent)
    assert await ended(reader) == b""


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES, 3 * MAX_HEAD_BYTES])
async def test_a_request_head_that_is_too_large_gets_the_reason(served: Served, size: int) -> None:
    received = await served.send(get("/", f"X: {'y' * size}\r\n"))
    assert statuses(received) == [431]
    assert str(MAX_HEAD_BYTES).encode() in received


async def test_a_head_that_never_ends_is_cut_off(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    for _ in range(100):
        writer.write(b"y" * 65536)
    assert statuses(await ended(reader)) == [431]
    assert served.echo.seen == []


async def test_a_head_within_the_limit_passes_however_it_is_cut(served: Served) -> None:
    head = get("/", f"Connection: close\r\nX: {'y' * (MAX_HEAD_BYTES - 100)}\r\n")
    for cut in (len(head), 5_000, 1_000):
        received = await served.send(*(head[start : start + cut] for start in range(0, len(head), cut)))
        assert statuses(received) == [200]


async def test_more_header_fields_than_anyone_sends_are_refused(served: Served) -> None:
    assert statuses(await served.send(get("/", "X: y\r\n" * 200))) == [431]


async def test_more_fields_of_an_address_than_anyone_sends_are_refused(served: Served) -> None:
    assert statuses(await served.send(get("/?" + "a&" * 101))) == [431]
    assert statuses(await served.send(get("/?" + "a&" * 100, "Connection: close\r\n"))) == [200]


async def test_a_client_that_does_not_read_its_answer_is_left(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "STALL_S", 0.2)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(get("/large"))
        await until_seen(served, 1)
        async with asyncio.timeout(10):
            while served.connections:
                await asyncio.sleep(0.02)


async def test_answers_buffered_for_slow_clients_are_bounded_in_total(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MAX_UNSENT_BYTES", 20 << 20)
    clients = [socket.socket() for _ in range(6)]
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", served.port))
        client.sendall(get("/large"))
    await until_seen(served, 6)
    async with asyncio.timeout(10):
        while served.connections > 4:
            await asyncio.sleep(0.02)
    for client in clients:
        client.close()


async def test_a_caller_with_slow_connections_loses_only_its_own() -> None:
    async with echoing(Limits(connections=20)) as served:
        other, asking = await served.connect("127.0.0.2")
        asking.write(get("/"))
        await other.readuntil(b"}}")
        slow = [await served.connect() for _ in range(60)]
        for _, writer in slow:
            writer.write(b"GET /slow HTTP/1.1\r\n")
        asking.write(get("/", "Connection: close\r\n"))
        assert statuses(await ended(other)) == [200]
        third, writer = await served.connect("127.0.0.3")
        writer.write(get("/", "Connection: close\r\n"))
        assert statuses(await ended(third)) == [200]
        assert served.connections <= 20
        for _, writer in slow:
            writer.transport.abort()


async def test_requests_under_way_are_finished_and_nothing_else_is() -> None:
    async with echoing(Limits(grace_s=5)) as served:
        busy, asking = await served.connect()
        asking.write(get("/hang"))
        kept, writer = await served.connect()
        writer.write(get("/"))
        await kept.readuntil(b"}}")
        begun, writer = await served.connect()
        writer.write(b"GET / HTTP/1.1\r\n")
        await until_seen(served, 2)
        served.server.should_exit = True
        assert await ended(kept) == b""
        assert await ended(begun) == b""
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        served.echo.go_on.set()
        assert statuses(await ended(busy)) == [200]


async def test_a_malformed_request_does_not_break_the_stop() -> None:
    async with echoing(Limits(grace_s=5)) as served:
        busy, asking = await served.connect()
        asking.write(get("/hang"))
        kept, _ = await served.connect()
        await until_seen(served, 1)
        for line in (b"GET / HTTP/3.0", b"nonsense", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked"):
            reader, writer = await served.connect()
            writer.write(line + b"\r\n\r\n")
            await reader.readuntil(b"\r\n")
        served.server.should_exit = True
        assert await ended(kept) == b""
        served.echo.go_on.set()
        assert statuses(await ended(busy)) == [200]


async def test_an_empty_line_before_a_request_is_passed_over(served: Served) -> None:
    received = await served.send(b"\r\n" + post("/", 2) + b"{}\r\n" + get("/", "Connection: close\r\n"))
    assert statuses(received) == [200, 200]


async def test_the_fault_of_a_request_is_reported(served: Served) -> None:
    assert b"Missing mandatory Host" in await served.send(b"GET / HTTP/1.1\r\n\r\n")


async def test_a_body_of_known_length_may_come_in_any_pieces(served: Served) -> None:
    reader, writer = await served.connect()
    writer.write(post("/", 3000))
    for _ in range(3000):
        writer.write(b"x")
        await asyncio.sleep(0)
    assert statuses(await reader.readuntil(b"}}")) == [200]


async def test_tiny_chunks_without_end_are_refused(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert statuses(await served.send(head, b"1\r\nx\r\n" * 5000)) == [400]


async def test_a_started_next_request_head_must_arrive_in_time(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEAD_TIMEOUT_S", 0.2)
    reader, writer = await served.connect()
    writer.write(get("/") + b"GET /next")
    assert statuses(await ended(reader)) == [200]


async def test_a_kept_connection_that_stays_silent_is_closed() -> None:
    async with echoing(Limits(keep_alive_s=0.2)) as served:
        reader, writer = await served.connect()
        writer.write(get("/"))
        assert statuses(await ended(reader)) == [200]
