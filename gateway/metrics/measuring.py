"""A process's figures, from its start to its end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Literal

import anyio

from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.metrics.deliveries import MeasuredOutbox
from gateway.metrics.instruments import Instruments
from gateway.metrics.jobs import MeasuredJobs
from gateway.metrics.page import MetricsPage
from gateway.metrics.reporter import Reporter
from gateway.settings import Settings
from gateway.stores import Stores

_LAST_REPORT_S = 2.0

Part = Literal["gateway", "worker"]


@dataclass(frozen=True)
class Measured:
    """Stores whose work is counted, what counts it, and the page that shows the counts."""

    stores: Stores
    instruments: Instruments
    page: MetricsPage


@asynccontextmanager
async def measuring(settings: Settings, kept: Stores, instruments: Instruments, part: Part) -> AsyncIterator[Measured]:
    """Count for as long as the context lasts; told to others only where PROMETHEUS_ENABLED says so."""
    jobs, outbox = MeasuredJobs(kept.jobs, instruments), MeasuredOutbox(kept.outbox, instruments.deliveries)
    stores = replace(kept, jobs=jobs, outbox=outbox)
    reporter = Reporter(part, instruments, kept.totals)
    measured = Measured(stores, instruments, MetricsPage(instruments, reporter, stores))
    if not settings.prometheus_enabled:
        yield measured
        return
    reporting = asyncio.create_task(reporter.run())
    reporting.add_done_callback(_log_end)
    try:
        yield measured
    finally:
        with anyio.CancelScope(shield=True):
            reporting.cancel()
            await asyncio.wait([reporting])
            if reporting.cancelled():
                await _report_last(reporter)


async def _report_last(reporter: Reporter) -> None:
    with suppress(Problem), anyio.move_on_after(_LAST_REPORT_S):
        await reporter.report()


def _log_end(reporting: "asyncio.Task[None]") -> None:
    error = None if reporting.cancelled() else reporting.exception()
    if error is not None:
        get_logger(__name__).error("the reports ended: others see no more of this process's figures", exc_info=error)
