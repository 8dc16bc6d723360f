"""One rule for every address: which scope it needs, and under which name the audit log has it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from types import MappingProxyType
from urllib.parse import quote
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.audit import AuditEntry
from gateway.access.callers import (
    OPERATE,
    READ,
    RUN_ANY,
    WRITE,
    caller_of,
    note_caller,
    owner_of,
    rate_limited_names,
    run_scope,
)
from gateway.errors import Problem
from gateway.http.middleware import path_of, request_id_of, services_of
from gateway.limits.fairness import visit_of
from gateway.logs import get_logger
from gateway.settings import Settings


@dataclass(frozen=True)
class Rule:
    """The scope that an address needs, None where it is open to all; `action` is its name in the audit log, if any.

    `tickets`: whether a ticket for the job in the address is accepted too. Where the scope is RUN_ANY, the pipeline's
    own is checked once the body is read.
    """

    scope: str | None
    action: str | None = None
    tickets: bool = False


_OPEN = Rule(None)
_JOB = "/v1/jobs/{id}"
_FRONTAL = "/api/v1/frontal/crop"

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "GET /health": _OPEN,
        "GET /health/live": _OPEN,
        "GET /health/ready": _OPEN,
        "GET /metrics": _OPEN,
        "GET /v1/pipelines": Rule(RUN_ANY),
        "POST /v1/run/{pipeline}": Rule(RUN_ANY),
        "POST /v1/jobs": Rule(RUN_ANY, "submit"),
        "POST /process": Rule(run_scope("body_masks"), "submit"),
        f"POST {_FRONTAL}/submit": Rule(run_scope("face_contours"), "submit"),
        "POST /upload": Rule(run_scope("privacy_blur"), "submit"),
        "POST /batch-upload": Rule(run_scope("privacy_blur"), "submit"),
        "GET /v1/jobs": Rule(READ),
        f"GET {_JOB}": Rule(READ),
        f"GET {_JOB}/events": Rule(READ, tickets=True),
        f"POST {_JOB}/events/ticket": Rule(READ),
        f"GET {_JOB}/artifacts/{{name:path}}": Rule(READ, "read"),
        "GET /v1/artifacts/{key:path}": Rule(READ, "read"),
        f"GET {_FRONTAL}/status/{{id}}": Rule(READ, "read"),
        f"DELETE {_JOB}": Rule(WRITE, "delete"),
        f"POST {_JOB}/cancel": Rule(WRITE, "cancel"),
        f"POST {_JOB}/callbacks/resend": Rule(WRITE, "resend"),
        "GET /status/{id}": Rule(READ),
        "GET /batch/{id}": Rule(READ),
        "GET /stats": Rule(READ),
        "GET /queue-status": Rule(READ),
        "GET /api/v1/cache/recent": Rule(READ),
        "GET /api/v1/cache/stats": Rule(OPERATE),
        "POST /api/v1/cache/cleanup": Rule(OPERATE, "cleanup"),
        "GET /v1/poison": Rule(OPERATE),
        "POST /v1/poison/{id}/replay": Rule(OPERATE, "replay"),
        "DELETE /v1/poison/{id}": Rule(OPERATE, "drop"),
    }
)
"""By method and path. An address that is missing here is not served."""


def run_rule(pipeline: str) -> Rule:
    """The rule of a pipeline's own address."""
    return Rule(run_scope(pipeline), "run")


def rules_of(settings: Settings) -> Mapping[str, Rule]:
    """The rules that are in force."""
    return RULES if settings.metrics_open else {**RULES, "GET /metrics": Rule(OPERATE)}


Handler = Callable[[Request], Awaitable[Response]]

_JOB_ID = "job_id"
_TARGET_CHARACTERS = 2000
"""Kept of a path: it may have 64 KiB, and the audit log is kept for years."""
_log = get_logger("gateway.audit")


def guarded(rule: Rule, handler: Handler) -> Handler:
    """The handler behind its rule: it first checks the caller, its rate limits and its scopes; then it is audited.

    Requests over a rate limit are not in the audit log: refusing them must not cost a row in the database.

    It raises Problem where the caller is unknown, over its limit, or lacks the scope.
    """
    scope = rule.scope
    if scope is None:
        return handler

    @wraps(handler)
    async def guarded_handler(request: Request) -> Response:
        services = services_of(request)
        caller = await services.access.caller(request, tickets=rule.tickets)
        note_caller(request, caller)
        visit = visit_of(request)
        limited, visit.owner = rate_limited_names(caller, visit.owner), owner_of(caller, visit.owner)
        if services.access.required:
            structlog.contextvars.bind_contextvars(caller=caller.name, tenant=caller.tenant)
        charged = services.access.rate_limits.charge(*limited, request)
        async with _audited(request, rule):
            caller.check(scope)
            return await handler(charged)

    return guarded_handler


@asynccontextmanager
async def _audited(request: Request, rule: Rule) -> AsyncIterator[None]:
    """What is done meanwhile is in the audit log, where callers are known; with the reason if it was refused."""
    if rule.action is None or not services_of(request).access.required:
        yield
        return
    try:
        yield
    except asyncio.CancelledError:  # the gateway stops: there is no time left to write
        _log_instead(_entry(request, rule.action, "CancelledError"), "the gateway stops")
        raise
    except Exception as error:
        await _note(request, rule.action, error.code if isinstance(error, Problem) else type(error).__name__)
        raise
    await _note(request, rule.action, None)


async def _note(request: Request, action: str, code: str | None) -> None:
    """Write to the audit log, or else to the gateway's own."""
    entry = _entry(request, action, code)
    try:
        await services_of(request).stores.audit.note(entry)
    except Problem as problem:
        _log_instead(entry, str(problem))
    except asyncio.CancelledError:
        _log_instead(entry, "the gateway stops")
        raise


def _log_instead(entry: AuditEntry, reason: str) -> None:
    """Every line of a request's log has its caller, tenant, job and id."""
    _log.error(f"not in the audit log: {reason}", action=entry.action, target=entry.target, code=entry.code)


def _entry(request: Request, action: str, code: str | None) -> AuditEntry:
    """The job is the one in the context of the request's log lines."""
    caller = caller_of(request)
    job_id = structlog.contextvars.get_contextvars().get(_JOB_ID)
    return AuditEntry(
        at=datetime.now(UTC),
        caller=caller.name,
        tenant=caller.tenant,
        action=action,
        job_id=UUID(job_id) if job_id else None,
        target=f"{request.method} {quote(path_of(request)[:_TARGET_CHARACTERS])}",
        code=code,
        request_id=request_id_of(request),
    )
