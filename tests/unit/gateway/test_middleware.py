import httpx
import pytest
import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.http.middleware import RequestMiddleware, trace_id_of


async def failing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise LookupError("secret")


async def failing_late(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise LookupError("secret")


async def deserted(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ClientDisconnect


async def answering(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})


async def messages_of(middleware: RequestMiddleware, path: str = "/") -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await middleware({"type": "http", "method": "GET", "path": path, "headers": []}, receive, send)
    return sent


@pytest.mark.parametrize("debug", [False, True])
async def test_an_unexpected_error_is_detailed_only_in_debug_mode(debug: bool) -> None:  # noqa: FBT001
    transport = httpx.ASGITransport(RequestMiddleware(failing, debug=debug))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.get("/somewhere")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert ("secret" in answer.text) == debug
    assert answer.headers["x-request-id"]


async def test_a_started_answer_is_not_started_again() -> None:
    sent = await messages_of(RequestMiddleware(failing_late, debug=False))
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_nothing_is_sent_to_a_disconnected_client() -> None:
    assert await messages_of(RequestMiddleware(deserted, debug=False)) == []


async def test_no_path_begins_a_line_of_the_log() -> None:
    with structlog.testing.capture_logs() as lines:
        await messages_of(RequestMiddleware(answering, debug=False), "/a\nb\x1b[2J")
    assert [line["event"] for line in lines] == ["GET /a%0Ab%1B%5B2J 204"]


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(("traceparent", "kept"), [(f"00-{TRACE}-00f067aa0ba902b7-01", True), ("nonsense", False)])
async def test_a_trace_is_taken_up_or_begun(traceparent: str, kept: bool) -> None:  # noqa: FBT001
    seen: list[str] = []

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend((trace_id_of(Request(scope)), structlog.contextvars.get_contextvars()["trace_id"]))
        await Response(status_code=204)(scope, receive, send)

    transport = httpx.ASGITransport(RequestMiddleware(traced, debug=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        await client.get("/", headers={"traceparent": traceparent})
    assert len(set(seen)) == 1
    assert (seen[0] == TRACE) == kept
    assert len(seen[0]) == 32
