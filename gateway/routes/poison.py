"""`/v1/poison`: what was given up, to be looked at, replayed or dropped, by the tenant of the messages alone."""

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.access.callers import caller_of
from gateway.errors import Problem
from gateway.http.queries import PoisonQuery
from gateway.intake.submissions import query_fields
from gateway.jobs.dead_letters import DeadLetter
from gateway.jobs.outbox_messages import timestamp
from gateway.pipelines.fields import validated
from gateway.services import services_of

_ID = re.compile(r"[0-9]{1,18}")


async def find(request: Request) -> JSONResponse:
    """Open entries, the newest first, in pages."""
    query = validated(PoisonQuery, query_fields(request.url.query))
    book = services_of(request).stores.poison
    found = await book.entries(query.limit + 1, query.cursor) if _is_theirs(request) else []
    page = found[: query.limit]
    following = str(page[-1].id) if len(found) > len(page) else None
    return JSONResponse({"entries": [entry_view(entry) for entry in page], "next": following})


async def replay(request: Request) -> Response:
    """204: the entry is closed, and its job or message is worked on again."""
    entry_id = _entry_id_of(request)
    return _closed(entry_id, was_open=await services_of(request).stores.poison.replay(entry_id))


async def drop(request: Request) -> Response:
    """204: the entry is closed for good."""
    entry_id = _entry_id_of(request)
    return _closed(entry_id, was_open=await services_of(request).stores.poison.drop(entry_id))


def entry_view(entry: DeadLetter) -> dict[str, object]:
    """An entry as JSON."""
    return {
        "id": entry.id,
        "job_id": str(entry.job_id) if entry.job_id else None,
        "origin": entry.origin,
        "error": {"code": entry.failure.code, "detail": entry.failure.detail},
        "attempts": entry.attempts,
        "bytes": entry.size,
        "created_at": timestamp(entry.created_at),
    }


def _entry_id_of(request: Request) -> int:
    text = request.path_params["id"]
    if not (_ID.fullmatch(text) and _is_theirs(request)):
        raise _not_found(text[:60])
    return int(text)


def _is_theirs(request: Request) -> bool:
    """Whether the book is the caller's: its entries came as messages."""
    return caller_of(request).tenant == services_of(request).settings.kafka_tenant


def _closed(entry_id: int, *, was_open: bool) -> Response:
    if not was_open:
        raise _not_found(entry_id)
    return Response(status_code=204)


def _not_found(entry_id: int | str) -> Problem:
    return Problem("poison_not_found", f"No open entry {entry_id} in the poison book.")
