from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from gateway.metrics.instruments import Instruments
from gateway.metrics.measuring import measuring
from gateway.metrics.totals import Report, Totals, Whole
from tests.unit.gateway.worker.jobs import memory, memory_settings, new_job

SUBMITTED = ("task_submissions_total", (("type", "body_masks"),))


async def test_what_a_process_counted_last_is_told_before_it_ends() -> None:
    async with memory() as stores:
        with anyio.CancelScope() as scope:
            async with measuring(memory_settings(), stores, Instruments(), "worker") as measured:
                await anyio.lowlevel.checkpoint()
                await measured.stores.jobs.submit([new_job()])
                scope.cancel()
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert (await stores.totals.read()).totals[SUBMITTED] == 1


class Unreported(Totals):
    async def add(self, _report: Report) -> None:
        raise AssertionError

    async def read(self) -> Whole:
        raise AssertionError


async def test_nothing_is_reported_where_figures_are_switched_off() -> None:
    async with memory() as stores:
        silent = replace(stores, totals=Unreported())
        async with measuring(memory_settings(prometheus_enabled=False), silent, Instruments(), "gateway") as measured:
            await measured.stores.jobs.submit([new_job()])


async def test_reports_that_end_by_a_bug_are_missed_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    async with memory() as stores:
        silent = replace(stores, totals=Unreported())
        async with measuring(memory_settings(), silent, Instruments(), "gateway"):
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
    assert "the reports ended" in "".join(capsys.readouterr())
