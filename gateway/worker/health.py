"""The worker's health page: states for everybody, and why they are so for this machine alone.

A reason names servers and addresses; from elsewhere only the code that it begins with is told, or
`internal_error`. The log has all of it.
"""

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from gateway.access.authentication import is_from_here
from gateway.errors import PROBLEMS
from gateway.supervision import Pulse
from gateway.worker.crew import Crew
from gateway.worker.worker import Worker

SILENCE_S = 60.0
"""Every part shows life each second or, where a server is away, each few seconds; a silent one hangs."""


def health_page() -> Starlette:
    """`/health`, `/health/live` and `/health/ready` of the worker that is put into `state.worker` when it is there."""
    handlers = {"/health": _health, "/health/live": _live, "/health/ready": _ready}
    app = Starlette(routes=[Route(path + end, handler) for path, handler in handlers.items() for end in ("", "/")])
    app.router.redirect_slashes = False  # it leads to whatever host the request names
    return app


async def _live(request: Request) -> JSONResponse:
    silent = [pulse.part for pulse in _pulses(_crew(request)) if pulse.silent_s > SILENCE_S]
    return JSONResponse({"status": "hangs" if silent else "ok", "silent": silent}, 503 if silent else 200)


async def _ready(request: Request) -> JSONResponse:
    crew = _crew(request)
    tell = _teller(request)
    failing = {pulse.part: tell(pulse.failing) for pulse in _pulses(crew) if pulse.failing is not None}
    good = crew is not None and not failing
    return JSONResponse({"status": "ok" if good else "degraded", "failing": failing}, 200 if good else 503)


async def _health(request: Request) -> JSONResponse:
    return JSONResponse(_state(_crew(request), _teller(request)))


def _teller(request: Request) -> Callable[[str | None], str | None]:
    """What becomes of a reason before it is told to who asks."""
    if is_from_here(request):
        return lambda reason: reason
    return lambda reason: _code_of(reason) if reason else reason


def _code_of(reason: str) -> str:
    code = reason.partition(":")[0]
    return code if code in PROBLEMS else "internal_error"


def _crew(request: Request) -> Crew | None:
    worker: Worker | None = getattr(request.app.state, "worker", None)
    return worker.crew if worker else None


def _pulses(crew: Crew | None) -> list[Pulse]:
    return [part.pulse for part in (*crew.claimers, *crew.ingesters, *crew.keepers)] if crew else []


def _state(crew: Crew | None, tell: Callable[[str | None], str | None]) -> dict[str, object]:
    if crew is None:
        return {"status": "starting"}
    pulses = _pulses(crew)
    return {
        "status": "ok" if all(pulse.failing is None for pulse in pulses) else "degraded",
        "worker": crew.runner.worker,
        "capacity": crew.heartbeat.capacity,
        "in_flight": len(crew.runner.held),
        "parts": {
            pulse.part: {"failing": tell(pulse.failing), "silent_s": round(pulse.silent_s, 1)} for pulse in pulses
        },
        "lag": dict(crew.ingestion.lag) if crew.ingestion else {},
        "note": crew.ingestion.note if crew.ingestion else None,
    }
