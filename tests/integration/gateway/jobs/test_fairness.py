"""One caller who is slow, greedy or both, and the others."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from gateway.http import middleware
from gateway.http.openapi import tiny_png
from gateway.intake import bodies as body_module
from gateway.intake.bodies import FIRST_BYTES
from gateway.limits import fairness
from gateway.limits.fairness import NOBODY
from gateway.settings import Settings
from gateway.timing import Deadline
from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.jobs.conftest import COMMON
from tests.integration.gateway.jobs.house import House, open_house, until
from tests.integration.gateway.jobs.slow import FILE, FORM, Connection, chunk

MIB = 1024 * 1024
GREEDY, OTHER = "127.0.0.2", "127.0.0.3"
PNG = "Content-Type: image/png"
SETTINGS = {
    **COMMON,
    "db_use_database": False,
    "minio_endpoint": "",
    "queue_max_size": 10,
    "service_concurrency": 1,
    "max_body_bytes": MIB,
    "body_memory_bytes": 4 * MIB,
    "request_timeout_s": 20.0,
}


@pytest_asyncio.fixture(loop_scope="session")
async def house() -> AsyncIterator[House]:
    async with open_house(Settings.model_validate(SETTINGS)) as house:
        yield house
        await until(lambda: idle(house), "everything was given back")


async def idle(house: House) -> bool:
    admission = house.services.admission
    return not (admission.bodies.taken or admission.waiting or admission.streams.taken)


def padded(size: int) -> bytes:
    """A photo of so many bytes."""
    return tiny_png() + bytes(size - len(tiny_png()))


async def submit(house: House, address: str, content: bytes | None = None, *fields: str) -> httpx.Response:
    async with await Connection.open(house, address) as connection:
        content = tiny_png() if content is None else content
        connection.head("/v1/jobs", PNG, f"Content-Length: {len(content)}", *fields)
        connection.send(content)
        return await connection.answer()


async def slow_bodies(house: House, stack: AsyncExitStack, count: int, sent: int) -> Sequence[Connection]:
    """Connections of the greedy caller, each in the midst of a body of a megabyte."""
    slow = [await stack.enter_async_context(await Connection.open(house, GREEDY)) for _ in range(count)]
    for connection in slow:
        connection.head("/v1/jobs", PNG, f"Content-Length: {MIB}")
        connection.send(padded(MIB)[:sent])
    return slow


@pytest.mark.parametrize("address", [GREEDY, OTHER])
async def test_slow_bodies_occupy_no_places(house: House, address: str) -> None:
    async with AsyncExitStack() as stack:
        await slow_bodies(house, stack, 20, 10)
        await until(lambda: holds(house, 20 * FIRST_BYTES), "all of them have begun")
        assert (await submit(house, address)).status_code == 202
        assert house.services.admission.waiting == 0


async def holds(house: House, size: int) -> bool:
    return house.services.admission.bodies.taken >= size


async def test_slow_bodies_that_fill_the_memory_make_room_for_another_caller_at_once(house: House) -> None:
    async with AsyncExitStack() as stack:
        slow = await slow_bodies(house, stack, 25, 200_000)  # one in full, of the others the first bytes
        await until(lambda: holds(house, 4 * MIB), "the memory is full")
        began = time.monotonic()
        assert (await submit(house, OTHER, padded(500_000))).status_code == 202
        assert time.monotonic() - began < 1.5
        assert house.services.admission.bodies.taken <= 4 * MIB
        answers = {asyncio.ensure_future(connection.answer()): connection for connection in slow}
        done, pending = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        refused = done.pop()
        assert_problem(refused.result(), "queue_full")
        assert refused.result().headers["retry-after"] == "2"
        await assert_heard_out(answers[refused], MIB - 200_000)
        for answer in pending:
            answer.cancel()
        await asyncio.wait(pending)


async def assert_heard_out(refused: Connection, left: int) -> None:
    """Who was refused may send the rest of its body, which is passed over, and another request behind it."""
    refused.send(bytes(left))
    await refused.writer.drain()
    refused.head("/health/live", method="GET")
    assert (await refused.answer()).status_code == 200


async def test_slow_bodies_that_fill_the_memory_make_room_for_their_own_caller_soon(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fairness, "_SLUGGISH_S", 0.5)
    async with AsyncExitStack() as stack:
        await slow_bodies(house, stack, 4, 200_000)
        await until(lambda: holds(house, 4 * MIB), "the memory is full")
        async with asyncio.timeout(5):  # they are given up after 10 s
            assert (await submit(house, GREEDY, padded(500_000))).status_code == 202


@pytest.mark.parametrize("framing", ["announced", "chunked"])
async def test_bodies_that_do_not_fit_together_are_read_in_turn(
    house: House, framing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fairness, "_LOOK_S", 0.05)
    photo = padded(MIB)

    async def send(number: int) -> int:
        async with await Connection.open(house, f"127.0.1.{number}") as connection:
            length = f"Content-Length: {MIB}" if framing == "announced" else "Transfer-Encoding: chunked"
            connection.head("/v1/run/detect", PNG, length)
            for start in range(0, MIB, MIB // 16):
                part = photo[start : start + MIB // 16]
                connection.send(part if framing == "announced" else chunk(part))
                await connection.writer.drain()
                assert house.services.admission.bodies.taken <= 4 * MIB
            connection.send(b"" if framing == "announced" else chunk(b""))
            return (await connection.answer()).status_code

    statuses = await asyncio.gather(*(send(number) for number in range(1, 17)))
    assert set(statuses) <= {503, 429}  # 503: there is no Triton
    assert statuses.count(503) >= (16 if framing == "announced" else 4)


async def test_no_caller_has_all_places(house: House) -> None:
    admission = house.services.admission
    async with AsyncExitStack() as stack:
        busy = stack.enter_context(admission.visit(NOBODY))
        await stack.enter_async_context(admission.turn(busy, Deadline(60)))
        greedy = [await running(stack, house, GREEDY) for _ in range(11)]
        await until(lambda: waiting(house, 10), "all places are taken")
        answers = [asyncio.ensure_future(connection.answer()) for connection in greedy]
        done, _ = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        refused = done.pop()
        assert_problem(refused.result(), "queue_full")
        other = await running(stack, house, OTHER)
        done, pending = await asyncio.wait({*answers} - {refused}, return_when=asyncio.FIRST_COMPLETED)
        ended = done.pop().result()
        assert_problem(ended, "queue_full")
        assert "send it again" in ended.json()["detail"]
        with pytest.raises(TimeoutError):
            await other.answer(0.3)
        assert admission.waiting == 10
        for answer in pending:
            answer.cancel()
        await asyncio.wait(pending)


async def running(stack: AsyncExitStack, house: House, address: str) -> Connection:
    """A request that waits for the model."""
    connection = await stack.enter_async_context(await Connection.open(house, address))
    connection.head("/v1/run/detect", PNG, f"Content-Length: {len(tiny_png())}")
    connection.send(tiny_png())
    return connection


async def waiting(house: House, count: int) -> bool:
    return house.services.admission.waiting == count


async def test_a_body_that_trickles_is_given_up(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_module, "_GRACE_S", (0.5, 0.5))
    async with await Connection.open(house) as connection:
        connection.head("/v1/jobs", PNG, f"Content-Length: {MIB}")
        answer, sent = asyncio.ensure_future(connection.answer(5)), 0
        while not answer.done():
            connection.send(b"x")
            sent += 1
            await asyncio.wait((answer,), timeout=0.1)
        await assert_heard_out(connection, MIB - sent)
    assert_problem(await answer, "request_timeout")
    assert "at least 1024 useful bytes a second" in (await answer).json()["detail"]


async def test_files_of_one_byte_do_not_keep_a_batch_alive() -> None:
    async with (
        open_house(Settings.model_validate({**SETTINGS, "request_timeout_s": 0.6})) as house,
        await Connection.open(house) as connection,
    ):
        connection.head("/batch-upload", f"Content-Type: {FORM}", "Content-Length: 99999")
        answer = asyncio.ensure_future(connection.answer(5))
        while not answer.done():
            connection.send(FILE + b"x\r\n")
            await asyncio.wait((answer,), timeout=0.2)
        assert_problem(await answer, "request_timeout")
        assert await house.stores.photos.keys("") == []


async def test_a_batch_takes_no_more_than_the_queue_has_room_for(house: House) -> None:
    files = [("files", (f"{number}.png", tiny_png())) for number in range(8)]
    taken = await asyncio.gather(*(house.client.post("/batch-upload", files=files) for _ in range(3)))
    views = [answer.raise_for_status().json() for answer in taken if answer.status_code != 429]
    assert sum(view["submitted"] for view in views) == 10
    refused = [one for view in views for one in view["results"] if one["error"]]
    assert {one["error"]["code"] for one in refused} <= {"queue_full"}
    assert all("Send this file again in " in one["error"]["detail"] for one in refused)
    assert (await house.client.get("/queue-status")).json()["queue_size"] == 10
    assert len(await house.stores.photos.keys("")) == 10
    assert_problem(await house.client.post("/batch-upload", files=files), "queue_full")
    await house.empty_queue()


async def finished(house: House, size: int) -> str:
    """Where a large file of a finished job is."""
    job_id = (await submit(house, OTHER)).json()["id"]
    await house.complete(await house.begin(job_id), bytes(size))
    return f"/v1/jobs/{job_id}/artifacts/upper_body_mask.png"


async def test_a_client_that_does_not_read_takes_no_memory_from_others(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fairness, "_SLUGGISH_S", 0.5)
    path = await finished(house, 12 * MIB)
    async with AsyncExitStack() as stack:
        deaf = await stack.enter_async_context(await deaf_to(house, path))
        await until(lambda: holds(house, 4 * MIB), "the answer fills the memory")
        assert (await submit(house, OTHER, padded(MIB // 2))).status_code == 202
        monkeypatch.setattr(middleware, "_GRACE_S", 0.2)
        await until(lambda: idle(house), "it was given up")
        assert not deaf.reader.at_eof()


async def deaf_to(house: House, path: str) -> Connection:
    """A client that asks and does not read."""
    deaf = await Connection.open(house, GREEDY, small=True)
    deaf.writer.transport.pause_reading()
    deaf.head(path, method="GET")
    return deaf


async def test_no_caller_has_all_streams(house: House) -> None:
    house.services.admission.streams.total = 3
    job_id = (await submit(house, OTHER)).json()["id"]
    async with AsyncExitStack() as stack:
        greedy = [await stack.enter_async_context(await watching(house, GREEDY, job_id)) for _ in range(3)]
        assert_problem(await answered(house, GREEDY, job_id), "queue_full")
        await stack.enter_async_context(await watching(house, OTHER, job_id))
        assert await asyncio.wait_for(greedy[2].reader.read(), 5) == b"0\r\n\r\n"
    await house.empty_queue()


async def watching(house: House, address: str, job_id: str) -> Connection:
    """A client that has seen the first state of a job."""
    connection = await Connection.open(house, address)
    connection.head(f"/v1/jobs/{job_id}/events", "Connection: close", method="GET")
    await asyncio.wait_for(connection.reader.readuntil(b"\n\n\r\n"), 10)
    return connection


async def answered(house: House, address: str, job_id: str) -> httpx.Response:
    async with await Connection.open(house, address) as connection:
        connection.head(f"/v1/jobs/{job_id}/events", method="GET")
        return await connection.answer()


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("POST /health/live", 405),
        ("POST /v1/run/nothing", 404),
        (f"POST /v1/jobs/{UUID(int=1)}/cancel", 404),
        ("POST /x", 404),
    ],
)
async def test_a_route_without_a_body_waits_for_none(house: House, line: str, status: int) -> None:
    method, path = line.split()
    async with await Connection.open(house) as connection:
        connection.head(path, PNG, "Content-Length: 1000", method=method)
        assert (await connection.answer(5)).status_code == status


async def test_a_body_is_asked_for_when_there_is_room(house: House) -> None:
    bodies = house.services.admission.bodies
    async with await Connection.open(house) as connection:
        with house.services.admission.visit(NOBODY) as visit:
            bodies.put(visit, bodies.total)
            connection.head("/v1/jobs", PNG, f"Content-Length: {len(tiny_png())}", "Expect: 100-continue")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(connection.reader.read(1), 0.3)
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.send(tiny_png())
        assert (await connection.answer()).status_code == 202
