import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from gateway.http.middleware import while_connected


def request_that_leaves(gone: asyncio.Event) -> Request:
    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def test_a_result_comes_through_and_an_error_too() -> None:
    async def fail() -> None:
        raise LookupError

    request = request_that_leaves(asyncio.Event())
    assert await while_connected(request, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(LookupError):
        await while_connected(request, fail())


async def test_work_is_cancelled_and_cleaned_up_when_the_client_disconnects() -> None:
    gone, cleaned = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        gone.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    with pytest.raises(ClientDisconnect):
        await while_connected(request_that_leaves(gone), work())
    assert cleaned.is_set()
