"""A request's body, received into memory up to a limit."""

from starlette.requests import Request

from gateway.deadline import Deadline
from gateway.problems import Problem


def check_length(request: Request, limit: int) -> None:
    """Refuse a body by its announced length, before any of it is read.

    Raises Problem `body_too_large`, `body_empty`.
    """
    announced = request.headers.get("content-length")
    if announced is None or not announced.isdecimal():
        return
    if int(announced) > limit:
        raise too_large(limit)
    if int(announced) == 0:
        raise _empty()


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises Problem `body_too_large` as soon as the limit in bytes is passed, `body_empty`, and ClientDisconnect.
    """
    chunks: list[bytes] = []
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limit:
            raise too_large(limit)
        chunks.append(chunk)
    if not received:
        raise _empty()
    return b"".join(chunks)


async def read_body_by(request: Request, limit: int, deadline: Deadline) -> bytes:
    """The whole body, where it comes in time. Raises Problem `request_timeout` and those of read_body."""
    try:
        with deadline.enforce():
            return await read_body(request, limit)
    except TimeoutError as error:
        raise Problem("request_timeout", f"Waited {deadline.limit_s:g} s for the body.") from error


def too_large(limit: int) -> Problem:
    """The problem of a body, or of a file in one, that passes the limit in bytes."""
    return Problem("body_too_large", f"At most {limit} bytes are accepted.")


def _empty() -> Problem:
    return Problem("body_empty", "Send a photo in the request's body.")
