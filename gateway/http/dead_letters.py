"""`/v1/poison`: the dead letters, messages and jobs that were given up; listed, worked on again, or dropped."""

import re

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.callers import caller_of
from gateway.errors import Problem
from gateway.http.middleware import services_of
from gateway.http.openapi import (
    LIST_ERRORS,
    MOST_LISTED,
    STORE_ERRORS,
    Addresses,
    Cursor,
    Query,
    answers,
    answers_nothing,
    in_path,
    in_query,
)
from gateway.jobs.store import DeadLetter
from gateway.jobs.view import Id, JobError, Timestamp, error_of
from gateway.pipelines.outputs import Answer, Count
from gateway.timing import timestamp

_ID = re.compile(r"[0-9]{1,18}")
DEAD_LETTERS = Addresses()


class PoisonView(Answer):
    """A message or a job that was given up."""

    id: int = Field(examples=[17])
    job_id: Id | None = Field(description="Null for a message that no job could be made of.")
    origin: str = Field(description="topic/partition/offset of the message.", examples=["mask_input/0/1234"])
    error: JobError
    attempts: Count = Field(examples=[0])
    bytes: Count = Field(description="The message's size.", examples=[212])
    created_at: Timestamp


class PoisonPage(Answer):
    """Open entries, the newest first."""

    entries: list[PoisonView]
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")


class PoisonQuery(Query):
    """Which page of the entries."""

    limit: int = Field(50, ge=1, le=MOST_LISTED, description="Entries a page.")
    cursor: Cursor = None


_ENTRY_ID, _CLOSED = in_path(id="The entry's id."), answers_nothing("The entry is closed.")
_ENTRY_ERRORS = ("poison_not_found", *STORE_ERRORS)


@DEAD_LETTERS.serve("GET /v1/poison", answers(PoisonPage, "One page."), LIST_ERRORS, in_query(PoisonQuery))
async def find(request: Request) -> Response:
    """List what was given up.

    Open entries, the newest first, in pages.
    """
    query = PoisonQuery.of(request)
    entries = services_of(request).stores.dead_letters
    found = await entries.entries(query.limit + 1, query.cursor) if _is_theirs(request) else []
    page = found[: query.limit]
    following = str(page[-1].id) if len(found) > len(page) else None
    return PoisonPage.model_construct(entries=[_view(entry) for entry in page], next=following).response()


@DEAD_LETTERS.serve("POST /v1/poison/{id}/replay", _CLOSED, _ENTRY_ERRORS, _ENTRY_ID)
async def replay(request: Request) -> Response:
    """Work on it again.

    204: the entry is closed, and its job or message is worked on again.
    """
    entry_id = _entry_id_of(request)
    return _closed(entry_id, was_open=await services_of(request).stores.dead_letters.replay(entry_id))


@DEAD_LETTERS.serve("DELETE /v1/poison/{id}", _CLOSED, _ENTRY_ERRORS, _ENTRY_ID)
async def drop(request: Request) -> Response:
    """Give it up for good.

    204: the entry is closed for good.
    """
    entry_id = _entry_id_of(request)
    return _closed(entry_id, was_open=await services_of(request).stores.dead_letters.drop(entry_id))


def _view(entry: DeadLetter) -> PoisonView:
    return PoisonView.model_construct(
        id=entry.id,
        job_id=str(entry.job_id) if entry.job_id else None,
        origin=entry.origin,
        error=error_of(entry.failure),
        attempts=entry.attempts,
        bytes=entry.size,
        created_at=timestamp(entry.created_at),
    )


def _entry_id_of(request: Request) -> int:
    text = request.path_params["id"]
    if not (_ID.fullmatch(text) and _is_theirs(request)):
        raise _not_found(text[:60])
    return int(text)


def _is_theirs(request: Request) -> bool:
    """Whether the entries are of the caller's tenant: they came as messages, which all are of one."""
    return caller_of(request).tenant == services_of(request).settings.kafka_tenant


def _closed(entry_id: int, *, was_open: bool) -> Response:
    if not was_open:
        raise _not_found(entry_id)
    return Response(status_code=204)


def _not_found(entry_id: int | str) -> Problem:
    return Problem("poison_not_found", f"No open entry {entry_id} in the poison book.")
