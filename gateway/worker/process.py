"""A worker as a process of its own, and its page of health and metrics."""

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence

import anyio
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.access.authentication import is_from_here
from gateway.errors import PROBLEMS, Problem, problem_response
from gateway.kafka.connection import connection_arguments
from gateway.listening import Server, configured_beside
from gateway.logs import configure_logs, get_logger
from gateway.metrics.instruments import MEDIA_TYPE, Instruments
from gateway.pipelines.registry import build_registry
from gateway.postgres.connection import MigrationError
from gateway.proxies import ProxyError, require_certificates
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import log_remarks
from gateway.stores import durable, open_stores
from gateway.supervision import Heartbeat, stop_signals
from gateway.triton import connect
from gateway.worker.worker import Worker, WorkerTasks

SILENCE_S = 60.0
"""Every task shows life each second or, where a server is away, each few seconds; a silent one hangs."""


class WorkerPage:
    """`/health`, `/health/live`, `/health/ready` and `/metrics` of `worker`, which is None until it is there.

    Everybody sees what works. Why something does not work names servers and addresses: this machine alone sees it,
    others see only the code that the reason begins with, or `internal_error`; the log has all of it.
    """

    def __init__(self, settings: Settings, instruments: Instruments) -> None:
        self.worker: Worker | None = None
        self._metrics_for_all = settings.metrics_open or settings.access != "required"
        self._instruments = instruments
        handlers = {"/health": self._health, "/health/live": self._live, "/health/ready": self._ready}
        if settings.prometheus_enabled:
            handlers["/metrics"] = self._metrics
        self.app = Starlette(
            routes=[Route(path + end, handler) for path, handler in handlers.items() for end in ("", "/")]
        )
        self.app.router.redirect_slashes = False  # a redirect would lead to whatever host the request names

    async def _live(self, _request: Request) -> Response:
        silent = [heartbeat.name for heartbeat in self._heartbeats() if heartbeat.silent_s > SILENCE_S]
        return JSONResponse({"status": "hangs" if silent else "ok", "silent": silent}, 503 if silent else 200)

    async def _ready(self, request: Request) -> Response:
        tell = _teller(request)
        failing = {one.name: tell(one.failing) for one in self._heartbeats() if one.failing is not None}
        good = self._tasks is not None and not failing
        return JSONResponse({"status": "ok" if good else "degraded", "failing": failing}, 200 if good else 503)

    async def _health(self, request: Request) -> Response:
        tasks, tell, heartbeats = self._tasks, _teller(request), self._heartbeats()
        if tasks is None:
            return JSONResponse({"status": "starting"})
        ingestion = tasks.ingestion
        return JSONResponse(
            {
                "status": "ok" if all(one.failing is None for one in heartbeats) else "degraded",
                "worker": tasks.runner.worker,
                "capacity": tasks.runner.capacity,
                "in_flight": len(tasks.runner.claimed),
                "parts": {
                    one.name: {"failing": tell(one.failing), "silent_s": round(one.silent_s, 1)} for one in heartbeats
                },
                "lag": dict(ingestion.lag) if ingestion else {},
                "note": ingestion.note if ingestion else None,
            }
        )

    async def _metrics(self, request: Request) -> Response:
        """METRICS_OPEN=false closes them to everybody but this machine: this page knows no callers."""
        if self._metrics_for_all or is_from_here(request):
            return Response(self._instruments.text(), media_type=MEDIA_TYPE)
        problem = Problem("scope_missing", "METRICS_OPEN=false: only this machine may read a worker's metrics.")
        return problem_response(problem, request.scope["path"])

    @property
    def _tasks(self) -> WorkerTasks | None:
        return self.worker.tasks if self.worker else None

    def _heartbeats(self) -> Sequence[Heartbeat]:
        return [task.heartbeat for task in self._tasks.all] if self._tasks else []


def _teller(request: Request) -> Callable[[str | None], str | None]:
    """How a reason is told to whoever asks."""
    if is_from_here(request):
        return lambda reason: reason
    return lambda reason: _code_of(reason) if reason else reason


def _code_of(reason: str) -> str:
    code = reason.partition(":")[0]
    return code if code in PROBLEMS else "internal_error"


def main() -> None:
    """Work on jobs in the foreground; PostgreSQL, S3 and Triton must run elsewhere."""
    try:
        work(Settings.from_environment())
    except (SettingsError, ProxyError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
    except (MigrationError, Problem) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error


def work(settings: Settings) -> None:
    """Work until SIGINT or SIGTERM.

    Raises SettingsError where there is no database to work for, or what is said of the broker cannot be; ProxyError
    where certificates are named that cannot be read; Problem and MigrationError where the stores do not open.
    """
    if not durable(settings):
        raise SettingsError(
            "POSTGRES_DSN: a worker needs the database that the gateway uses; without one, or with "
            "DB_USE_DATABASE=false, the gateway works on its jobs by itself"
        )
    require_certificates()
    if settings.kafka_bootstrap_servers:
        connection_arguments(settings)
    configure_logs(settings)
    log_remarks(get_logger("gateway.settings"), Settings.model_fields)
    gc.freeze()  # what is imported stays: no full collection, nor the end, has to look through it again
    uvloop.run(_until_stopped(settings))


async def _until_stopped(settings: Settings) -> None:
    """The page is up before the stores are, and until the worker has stopped."""
    instruments = Instruments("worker")
    page = WorkerPage(settings, instruments)
    serving = asyncio.create_task(Server(configured_beside(page.app, settings, settings.worker_port)).serve())
    try:
        with anyio.CancelScope() as working:
            for number in stop_signals():
                asyncio.get_running_loop().add_signal_handler(number, working.cancel)
            await _work(settings, instruments, page)
    finally:
        serving.cancel()
        await asyncio.wait([serving])


async def _work(settings: Settings, instruments: Instruments, page: WorkerPage) -> None:
    async with (
        connect(settings, instruments.tasks.inferred, instruments.inferring) as triton,
        open_stores(settings, instruments.tasks.ended) as stores,
    ):
        page.worker = Worker(settings, stores, triton, build_registry(settings), instruments)
        await page.worker.run()
