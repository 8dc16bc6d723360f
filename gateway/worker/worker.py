"""A worker: its supervised tasks from start to graceful stop, its process, and its page of health and metrics."""

import asyncio
import gc
import os
import socket
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import anyio
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.access.authentication import is_from_here
from gateway.background import Heartbeat, Supervised, keep_running, stop_signals
from gateway.errors import PROBLEMS, Problem, problem_response
from gateway.fetching.fetcher import open_fetcher
from gateway.hosts import ProxyError, require_certificates
from gateway.jobs.job import CallbackKind
from gateway.jobs.outbox import Sender
from gateway.kafka.connection import connection_arguments
from gateway.kafka.ingestion import MESSAGES_PIPELINE, Ingestion
from gateway.kafka.sender import open_message_sender
from gateway.listening import Server, configured_beside
from gateway.logs import configure_logs, get_logger
from gateway.metrics.instruments import MEDIA_TYPE, Instruments, KafkaMetrics
from gateway.pipelines.registry import Pipeline, build_registry
from gateway.postgres.connection import MigrationError
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import log_remarks
from gateway.stores import Stores, durable, open_stores
from gateway.triton import Triton, connect
from gateway.worker.attempts import Attempts, Execution
from gateway.worker.relay import Relay
from gateway.worker.retention import Janitor
from gateway.worker.runner import LeaseRenewal, Runner
from gateway.worker.webhooks import open_senders

_DELIVERY_MARGIN_S = 20.0
"""A delivery begins as soon as it is taken, so its lease need be only a little longer than the delivery."""
_LAST_DELIVERIES_S = 1.0
"""What is left for the relays if the jobs took all of SHUTDOWN_GRACE_S."""


@dataclass(frozen=True)
class WorkerTasks:
    """What runs in a worker; `ingestion` is None where there is no Kafka."""

    runner: Runner
    renewal: LeaseRenewal
    janitor: Janitor
    relays: tuple[Relay, ...]
    ingestion: Ingestion | None

    @property
    def taking_messages(self) -> tuple[Supervised, ...]:
        """None where there is no Kafka."""
        return (self.ingestion,) if self.ingestion else ()

    @property
    def ending_work(self) -> tuple[Supervised, ...]:
        """What the jobs that were claimed need until they end."""
        return (self.renewal, self.janitor, *self.relays)

    @property
    def all(self) -> tuple[Supervised, ...]:
        """Every one."""
        return (self.runner, *self.taking_messages, *self.ending_work)


@dataclass
class Worker:
    """Works on jobs for as long as `run` runs; `tasks` is there meanwhile."""

    settings: Settings
    stores: Stores
    triton: Triton
    registry: Mapping[str, Pipeline]
    instruments: Instruments
    tasks: WorkerTasks | None = None

    async def run(self) -> None:
        """Work until cancelled, then end: jobs that are worked on get SHUTDOWN_GRACE_S, then they are handed back.

        Raises SettingsError.
        """
        log = get_logger("gateway.worker")
        async with self._opened() as tasks:
            self.tasks = tasks
            log.info("worker starts", worker=tasks.runner.worker, capacity=tasks.runner.capacity)
            taking = asyncio.create_task(_keep_all_running(tasks.taking_messages))
            ending = asyncio.create_task(_keep_all_running(tasks.ending_work))
            try:
                await keep_running(tasks.runner)
            finally:
                with anyio.CancelScope(shield=True):
                    log.info("worker stops", worker=tasks.runner.worker, in_flight=len(tasks.runner.claimed))
                    await self._stop(tasks, taking, ending)
                    log.info("worker stopped", worker=tasks.runner.worker)
                self.tasks = None

    async def _stop(self, tasks: WorkerTasks, taking: "asyncio.Task[None]", ending: "asyncio.Task[None]") -> None:
        """Leaving Kafka's group takes seconds, in which the work on jobs goes on."""
        ends = time.monotonic() + self.settings.shutdown_grace_s
        taking.cancel()
        await tasks.renewal.retire()
        await tasks.runner.drain(self.settings.shutdown_grace_s)
        ending.cancel()
        await asyncio.wait([taking, ending])
        grace_s = max(_LAST_DELIVERIES_S, ends - time.monotonic())
        await asyncio.gather(*(relay.drain(grace_s) for relay in tasks.relays))

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[WorkerTasks]:
        """The tasks with the clients they need."""
        settings, stores = self.settings, self.stores
        async with AsyncExitStack() as stack:
            fetcher = await stack.enter_async_context(open_fetcher(settings))
            senders = await _senders(stack, settings, stores, self.instruments.kafka)
            execution = Execution(settings, stores, fetcher, self.triton, self.registry)
            attempts = Attempts(settings, stores, execution, self.instruments)
            runner = Runner(_worker_name(settings), settings, stores, attempts)
            yield WorkerTasks(
                runner,
                LeaseRenewal(settings, runner),
                Janitor(settings, stores),
                self._relays(senders),
                self._ingestion(),
            )

    def _relays(self, senders: Mapping[CallbackKind, Sender]) -> tuple[Relay, ...]:
        lease_s = self.settings.callback_timeout_s + _DELIVERY_MARGIN_S
        metrics = self.instruments.deliveries
        return tuple(Relay(kind, sender, self.stores, lease_s, metrics) for kind, sender in senders.items())

    def _ingestion(self) -> Ingestion | None:
        """None where no message can come, or the pipeline that messages are for is not offered."""
        pipeline = self.registry.get(MESSAGES_PIPELINE)
        if not self.settings.kafka_bootstrap_servers or pipeline is None:
            return None
        return Ingestion(self.settings, self.stores, pipeline, self.instruments)


async def _senders(
    stack: AsyncExitStack, settings: Settings, stores: Stores, metrics: KafkaMetrics
) -> Mapping[CallbackKind, Sender]:
    senders = dict(await stack.enter_async_context(open_senders(settings, stores.artifacts)))
    if settings.kafka_bootstrap_servers:
        senders["message"] = await stack.enter_async_context(open_message_sender(settings, metrics))
    return senders


def _worker_name(settings: Settings) -> str:
    """New with every start, so that a restarted worker is not taken for the one before."""
    return f"{settings.worker_id or socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"


async def _keep_all_running(tasks: Sequence[Supervised]) -> None:
    async with anyio.create_task_group() as group:
        for task in tasks:
            group.start_soon(keep_running, task)


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
