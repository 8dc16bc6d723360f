"""`GET /v1/jobs/{id}/events`: a job's states as they come, as server-sent events (WHATWG HTML, 9.2); and its ticket."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.access.callers import caller_of
from gateway.errors import Problem
from gateway.http.jobs import full_view, job_of, link_of
from gateway.http.middleware import services_of
from gateway.http.openapi import COMPONENT, JOB_ERRORS, JOB_ID, TEXT, Addresses, Responses, answers
from gateway.http.services import Services
from gateway.intake.submissions import JSON
from gateway.jobs.job import Job
from gateway.jobs.view import COMPLETED, QUEUED, JobView, Link, Timestamp
from gateway.limits.fairness import Visit, visit_of
from gateway.pipelines.outputs import Answer
from gateway.stores import Stores
from gateway.timing import timestamp


class EventTicket(Answer):
    """What lets an EventSource watch one job: `GET /v1/jobs/{id}/events?ticket=…`."""

    ticket: str = Field(examples=["eyJqb2IiOiI2ZjFjMGU0ZSJ9.q1Zq0m3n6Yx8a9JpVd2fWl1sKc4rTt5uBb7eHh0iGg8"])
    expires: Timestamp = Field(
        description="Until then a stream may be opened; one that is open stays.", examples=["2025-11-26T12:01:00Z"]
    )


_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_KEEP_ALIVE = ": still here\n\n"
_DELETED = "event: deleted\ndata: {}\n\n"
_KEEP_ALIVE_S = 15.0
"""So often a silent stream says that it lives, and looks whether it missed a change."""


_JOB = {
    **TEXT,
    "contentMediaType": JSON,
    "contentSchema": {"$ref": COMPONENT.format(model=JobView.__name__)},
}
_EVENT = {
    "description": "Every event of the stream.",
    "type": "object",
    "required": ["event", "data"],
    "oneOf": [
        {"properties": {"event": {"const": "state"}, "id": TEXT, "data": _JOB}, "required": ["id"]},
        {"properties": {"event": {"const": "deleted"}, "data": {"const": "{}"}}},
    ],
}
_TICKET = {
    "name": "ticket",
    "in": "query",
    "required": False,
    "description": "What `POST …/events/ticket` gave, for an EventSource, which can send no header.",
    "schema": TEXT,
}


def _stream() -> Responses:
    """Each event is an object; one who has seen the last gets no content."""
    shown = "".join(
        f"id: {event_id}\nevent: state\ndata: {json.dumps(job)}\n\n"
        for event_id, job in (("0-queued", QUEUED), ("1-completed", COMPLETED))
    )
    return {
        200: {
            "description": "Server-sent events: `state`, whose data is the job, and `deleted`, when there is none.",
            "content": {"text/event-stream": {"schema": _EVENT, "example": shown}},
        },
        204: {"description": "`Last-Event-ID` names the job's outcome: there is nothing more to come."},
    }


EVENTS = Addresses()


@EVENTS.serve(
    "GET /v1/jobs/{id}/events",
    _stream(),
    ("ticket_invalid", "ticket_expired", "queue_full", *JOB_ERRORS),
    [*JOB_ID, _TICKET],
)
async def events(request: Request) -> Response:
    """Watch a job.

    The present state, then every change, until the outcome.

    A client that comes back after the outcome it has seen gets 204, which tells an EventSource to stay away. Raises
    Problem `queue_full`.
    """
    services, job = services_of(request), await job_of(request)
    if job.finished and request.headers.get("last-event-id") == _event_id(job):
        return Response(status_code=204)
    visit = visit_of(request)
    if not services.admission.streams.take(visit, 1):
        raise Problem("queue_full", "Too many watch jobs.", retry_after=_KEEP_ALIVE_S)
    changes = state_events(services, visit, job.id, link_of(request), _KEEP_ALIVE_S)
    return StreamingResponse(changes, media_type="text/event-stream", headers=_HEADERS)


@EVENTS.serve("POST /v1/jobs/{id}/events/ticket", answers(EventTicket, "A ticket, for a minute."), JOB_ERRORS, JOB_ID)
async def ticket(request: Request) -> Response:
    """Let a browser watch a job.

    What lets an EventSource open that stream, for a minute.
    """
    job = await job_of(request)
    text, expires = await services_of(request).access.tickets.issue(caller_of(request), job.id)
    answer = EventTicket.model_construct(ticket=text, expires=timestamp(expires)).response()
    answer.headers["Cache-Control"] = "no-store"
    return answer


async def state_events(
    services: Services, visit: Visit, job_id: UUID, link: Link, keep_alive_s: float
) -> AsyncIterator[bytes]:
    """Events until the job is finished or deleted, or the gateway closes; a comment where nothing changed in time.

    They end early too where others have fewer streams than this client, and there is no room for both: an EventSource
    comes back.
    """
    seen: str | None = None
    with services.stores.signals.subscribe(str(job_id)) as subscription, visit.ended_by(subscription.notify):
        while visit.endable and not services.closing.is_set():
            news = await _look(services.stores, job_id, link, seen)
            yield news.text.encode()
            if news.last:
                return
            seen = news.event_id
            await subscription.wait(keep_alive_s)


@dataclass(frozen=True)
class _News:
    event_id: str | None
    text: str
    last: bool = False


async def _look(stores: Stores, job_id: UUID, link: Link, seen: str | None) -> _News:
    """What to tell one who has seen this state; while the database is away, that the stream lives."""
    try:
        job = await stores.jobs.get(job_id)
        if job is None:
            return _News(seen, _DELETED, last=True)
        if _event_id(job) == seen:
            return _News(seen, _KEEP_ALIVE)
        return _News(_event_id(job), _event(job, await full_view(stores, job, link)), job.finished)
    except Problem:
        return _News(seen, _KEEP_ALIVE)


def _event_id(job: Job) -> str:
    return f"{job.attempts}-{job.state}"


def _event(job: Job, view: Mapping[str, object]) -> str:
    return f"id: {_event_id(job)}\nevent: state\ndata: {json.dumps(view)}\n\n"
