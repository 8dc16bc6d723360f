"""A worker as a process of its own."""

import asyncio
import sys

import anyio
import uvloop

from gateway.kafka.connection import connection_arguments
from gateway.listening import Server, configured_beside
from gateway.logs import configure_logs, get_logger
from gateway.metrics.instruments import Instruments
from gateway.pipelines.registry import build_registry
from gateway.postgres.faults import MigrationError
from gateway.problems import Problem
from gateway.proxies import ProxyError, require_certificates
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import log_remarks
from gateway.stopping import stop_signals
from gateway.stores import durable, open_stores
from gateway.triton import connect
from gateway.worker.page import WorkerPage
from gateway.worker.worker import Worker


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
