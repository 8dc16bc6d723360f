"""A worker as a process of its own."""

import asyncio
import sys

import anyio
import uvicorn
import uvloop
from starlette.applications import Starlette

from gateway.access.browsers import HostAndOriginGuard, Hosts, Origins, SafeHeaders
from gateway.errors import Problem
from gateway.kafka.connection import connection_arguments
from gateway.listening import Limits, Server, configured
from gateway.logs import configure_logs, get_logger
from gateway.metrics.instruments import Instruments
from gateway.metrics.measuring import measuring
from gateway.pipelines.registry import build_registry
from gateway.postgres.connection import MigrationError
from gateway.proxies import ProxyError, require_certificates
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import log_remarks
from gateway.stores import durable, open_stores
from gateway.supervision import stop_signals
from gateway.triton import connect
from gateway.worker.health import health_page
from gateway.worker.worker import Worker


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
    uvloop.run(_until_stopped(settings))


async def _until_stopped(settings: Settings) -> None:
    """The health page is up before the stores are, and until the worker has stopped."""
    app = health_page()
    page = asyncio.create_task(Server(_page_config(settings, app)).serve())
    try:
        with anyio.CancelScope() as working:
            _cancel_on_signals(working)
            await _work(settings, app)
    finally:
        page.cancel()
        await asyncio.wait([page])


def _cancel_on_signals(scope: anyio.CancelScope) -> None:
    for number in stop_signals():
        asyncio.get_running_loop().add_signal_handler(number, scope.cancel)


async def _work(settings: Settings, app: Starlette) -> None:
    instruments = Instruments()
    async with (
        connect(settings, instruments.tasks.inferred, instruments.inferring) as triton,
        open_stores(settings, instruments.ended) as stores,
        measuring(settings, stores, instruments, "worker") as measured,
    ):
        registry = build_registry(settings)
        app.state.worker = worker = Worker(settings, measured.stores, triton, registry, instruments.kafka)
        await worker.run()


def _page_config(settings: Settings, app: Starlette) -> uvicorn.Config:
    origins = Origins(settings)
    checked = HostAndOriginGuard(app, Hosts(settings), origins)
    return configured(SafeHeaders(checked, origins), Limits(), settings.api_host, settings.worker_port)


def main() -> None:
    """Work with the environment's settings; exit 2 where they are wrong, 1 where a server does not come up."""
    try:
        work(Settings.from_environment())
    except (SettingsError, ProxyError) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
    except (MigrationError, Problem) as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from error
