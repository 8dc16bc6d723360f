"""`python -m loadtests.tenants`: how one tenant's flood of jobs affects another tenant, and the cost of a claim.

Only the queue is measured, on a PostgreSQL that is started for it. Workers hold each job for a while instead of working
on it.
"""

import asyncio
import statistics
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import anyio
import asyncpg
import typer
from anyio.from_thread import start_blocking_portal
from rich.console import Console
from rich.table import Table

from deploy.embedded.addresses import Addresses
from deploy.embedded.folders import Folders
from deploy.embedded.postgres import Postgres
from deploy.embedded.supervisor import ServiceSupervisor
from gateway.background import Signals
from gateway.jobs.job import ImageReference, Lease, NewJob, Outcome
from gateway.jobs.store import WORK, JobStore
from gateway.settings import Settings
from gateway.stores import open_postgres

FLOOD, GUEST = "acme", "globex"
LEASE_S = 600.0
WORKERS, PLACES, WORK_S = 2, 2, 0.05
QUEUED = 100_000
TENANTS = (1, 10, 1000)
CLAIMERS = (1, 4)
"""Processes that claim at the same time, each with its own connections."""

_POLL_S = 1.0
_SETTLED_S = 1.0
_PATIENCE_S = 30.0
_FILL = """
INSERT INTO maskwright.jobs (id, pipeline, user_id, request_id, fingerprint, parameters, image_kind, image_location,
    priority, source, trace_id, callbacks, state, held, tenant)
SELECT gen_random_uuid(), 'body_masks', '', number::text, '', '{}', 'url', 'http://example.com/a.jpg',
    number % 3, 'http', '', '[]', 'queued', false, 'tenant-' || number % $2 FROM generate_series(1, $1) AS number
"""

_console = Console()


@dataclass(frozen=True)
class Waits:
    """Seconds from the submission of each of the guest's jobs to its lease, and the flood's jobs per second."""

    guest_s: Sequence[float]
    flood_per_second: float


def main(
    flood: Annotated[int, typer.Option(help="Jobs of the tenant that floods the queue, kept so many.")] = 500,
    jobs: Annotated[int, typer.Option(help="Jobs of the other, one after the other.")] = 20,
    claims: Annotated[int, typer.Option(help="Claims of each claimer, of two jobs.")] = 100,
) -> None:
    """Measure both."""
    with _postgres() as settings:
        alone = asyncio.run(_wait_for(settings, 0, jobs))
        beside = asyncio.run(_wait_for(settings, flood, jobs))
        _console.print(_waits_table({"alone": alone, f"beside {flood} of priority 10": beside}))
        costs = {
            (tenants, count): asyncio.run(_claims_per_second(settings, tenants, count, claims))
            for tenants in TENANTS
            for count in CLAIMERS
        }
    _console.print(_claims_table(costs))


@contextmanager
def _postgres() -> Iterator[Settings]:
    """Settings of an empty PostgreSQL, while the context lasts."""
    with tempfile.TemporaryDirectory() as home, start_blocking_portal() as portal:
        folders = Folders(Path(home))
        folders.create()
        settings = Addresses.of(Settings.from_environment(), folders.secrets).settings
        supervisor = ServiceSupervisor(Postgres(settings, folders), folders.log("postgres"), lambda _: None)
        portal.call(supervisor.start)
        watching = portal.start_task_soon(supervisor.watch)
        try:
            yield settings
        finally:
            watching.cancel()
            portal.call(supervisor.stop)


@dataclass(frozen=True)
class _Process:
    """What a gateway or a worker has of the queue."""

    jobs: JobStore
    signals: Signals


@asynccontextmanager
async def _processes(settings: Settings, count: int) -> AsyncIterator[list[_Process]]:
    """This many processes, on an empty queue."""
    async with AsyncExitStack() as stack:
        opened = []
        for signals in [Signals() for _ in range(count)]:
            stores = await stack.enter_async_context(open_postgres(settings, lambda _job, _outcome: (), signals))
            opened.append(_Process(stores.jobs, signals))
        await _execute(settings, "TRUNCATE maskwright.jobs CASCADE")
        yield opened


async def _execute(settings: Settings, *statement: object) -> None:
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    await connection.execute(*statement)
    await connection.close()


async def _wait_for(settings: Settings, flood: int, jobs: int) -> Waits:
    """The guest's jobs have the lowest priority. Each comes when the one before has its lease."""
    leased = defaultdict[str, asyncio.Event](asyncio.Event)
    done = Counter[str]()

    def begin(job: NewJob) -> None:
        leased[job.request_id].set()
        done[job.tenant] += 1

    async with _processes(settings, 1 + WORKERS) as (mine, *theirs):
        tasks = [asyncio.create_task(_work(f"worker-{n}", one, begin)) for n, one in enumerate(theirs)]
        tasks += [asyncio.create_task(_keep_flooding(mine.jobs, flood))] if flood else []
        await asyncio.sleep(_SETTLED_S)
        began, before, waits = time.perf_counter(), done[FLOOD], list[float]()
        for _ in range(jobs):
            came = time.perf_counter()
            await mine.jobs.submit([job := _job(GUEST, -10)])
            with anyio.move_on_after(_PATIENCE_S):
                await leased[job.request_id].wait()
            waits.append(time.perf_counter() - came)
        rate = (done[FLOOD] - before) / (time.perf_counter() - began)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return Waits(waits, rate)


async def _keep_flooding(jobs: JobStore, most: int) -> None:
    while True:
        lacking = most - (await jobs.counts()).queued
        if lacking > 0:
            await jobs.submit([_job(FLOOD, 10) for _ in range(lacking)])
        await asyncio.sleep(_SETTLED_S / 10)


async def _work(name: str, process: _Process, begin: Callable[[NewJob], None]) -> None:
    """Claim as a worker does: for the free places, woken by new jobs and by a job's end."""
    running = set[asyncio.Task[None]]()
    after = ""

    async def do(lease: Lease) -> None:
        begin(lease.job.request)
        await asyncio.sleep(WORK_S)
        await process.jobs.finish(lease, Outcome())

    with process.signals.subscribe(WORK) as work:
        while True:
            running = {task for task in running if not task.done()}
            free = PLACES - len(running)
            for lease in await process.jobs.claim(name, free, LEASE_S, after) if free else ():
                after = lease.job.request.tenant
                task = asyncio.create_task(do(lease))
                task.add_done_callback(lambda _: process.signals.notify(WORK))
                running.add(task)
            await work.wait(_POLL_S)


async def _claims_per_second(settings: Settings, tenants: int, claimers: int, claims: int) -> float:
    """Claims of PLACES jobs, with QUEUED jobs that these tenants share."""
    async with _processes(settings, claimers) as processes:
        await _execute(settings, _FILL, QUEUED, tenants)
        await _execute(settings, "VACUUM ANALYZE maskwright.jobs")

        async def claim(number: int, jobs: JobStore) -> None:
            after = ""
            for _ in range(claims):
                leases = await jobs.claim(f"worker-{number}", PLACES, LEASE_S, after)
                after = leases[-1].job.request.tenant

        began = time.perf_counter()
        await asyncio.gather(*(claim(number, one.jobs) for number, one in enumerate(processes)))
        return claimers * claims / (time.perf_counter() - began)


def _job(tenant: str, priority: int) -> NewJob:
    return NewJob(
        id=uuid4(),
        pipeline="body_masks",
        user_id="",
        request_id=uuid4().hex,
        fingerprint=b"",
        parameters="{}",
        image=ImageReference("url", "https://example.com/a.jpg"),
        source="http",
        trace_id="0" * 32,
        priority=priority,
        tenant=tenant,
    )


def _waits_table(measured: Mapping[str, Waits]) -> Table:
    title = f"waits of jobs of priority -10, {WORKERS * PLACES} places, {1000 * WORK_S:.0f} ms a job"
    table = Table("", "p50 ms", "longest ms", "flood, jobs/s", title=title, title_justify="left")
    for name, waits in measured.items():
        times = (statistics.median(waits.guest_s), max(waits.guest_s))
        table.add_row(name, *(f"{1000 * seconds:.0f}" for seconds in times), f"{waits.flood_per_second:.1f}")
    return table


def _claims_table(costs: Mapping[tuple[int, int], float]) -> Table:
    title = f"claims of {PLACES} jobs, {QUEUED} queued"
    table = Table("tenants", "claimers", "claims/s", title=title, title_justify="left")
    for (tenants, claimers), per_second in costs.items():
        table.add_row(str(tenants), str(claimers), f"{per_second:.0f}")
    return table


if __name__ == "__main__":
    typer.run(main)
