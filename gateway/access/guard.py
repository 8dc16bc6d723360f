"""Every address behind its rule."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import wraps
from urllib.parse import quote
from uuid import UUID

import structlog
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.audit import AuditEntry
from gateway.access.caller import Caller, caller_of, note_caller
from gateway.access.origin import accounts_of, owner_of
from gateway.access.rules import Rule
from gateway.errors import Problem
from gateway.http.middleware import path_of, request_id_of
from gateway.limits.sharing import visit_of
from gateway.logs import get_logger
from gateway.services import services_of

Handler = Callable[[Request], Awaitable[Response]]

_JOB = "job_id"
_TARGET_CHARACTERS = 2000
"""Of a path in the audit log: it may have 64 KiB, and the log is kept for long."""
_log = get_logger("gateway.audit")


def guarded(rule: Rule, handler: Handler) -> Handler:
    """The handler for those whom the rule lets in; what they do is told to the audit log, where the rule says so.

    Who took too much is not: a limit that costs the database a row is none.

    It raises Problem where the caller is unknown, took too much, or may not do this.
    """
    scope = rule.scope
    if scope is None:
        return handler

    @wraps(handler)
    async def let_in(request: Request) -> Response:
        services = services_of(request)
        caller = await services.access.caller(request, tickets=rule.tickets)
        note_caller(request, caller)
        visit = visit_of(request)
        accounts, visit.owner = accounts_of(caller, visit.owner), owner_of(caller, visit.owner)
        if services.access.required:
            structlog.contextvars.bind_contextvars(caller=caller.name, tenant=caller.tenant)
        charged = services.access.allowances.charge(*accounts, request)
        return await _audited(request, rule, lambda: _answer(charged, caller, scope, handler))

    return let_in


async def _answer(request: Request, caller: Caller, scope: str, handler: Handler) -> Response:
    caller.check(scope)
    return await handler(request)


async def _audited(request: Request, rule: Rule, act: Callable[[], Awaitable[Response]]) -> Response:
    """The answer; where callers are known, the act is told, and also why it was refused."""
    if rule.action is None or not services_of(request).access.required:
        return await act()
    try:
        response = await act()
    except asyncio.CancelledError:  # the gateway stops: there is no time left to write
        _tell(_entry(request, rule.action, "CancelledError"), "the gateway stops")
        raise
    except Exception as error:
        await _note(request, rule.action, error.code if isinstance(error, Problem) else type(error).__name__)
        raise
    await _note(request, rule.action, None)
    return response


async def _note(request: Request, action: str, code: str | None) -> None:
    """What the audit log does not take is in the gateway's own."""
    entry = _entry(request, action, code)
    try:
        await services_of(request).stores.audit.note(entry)
    except Problem as problem:
        _tell(entry, str(problem))
    except asyncio.CancelledError:
        _tell(entry, "the gateway stops")
        raise


def _tell(entry: AuditEntry, reason: str) -> None:
    """Caller, tenant, job and request are in every line of a request's log."""
    _log.error(f"not in the audit log: {reason}", action=entry.action, target=entry.target, code=entry.code)


def _entry(request: Request, action: str, code: str | None) -> AuditEntry:
    """The job is the one that the request's log lines name."""
    caller = caller_of(request)
    job_id = structlog.contextvars.get_contextvars().get(_JOB)
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
