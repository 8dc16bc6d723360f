from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.memory.totals import MemoryTotals
from gateway.metrics.instruments import Instruments
from gateway.metrics.reporter import Reporter
from gateway.metrics.totals import Report, Totals, Whole

AWAY = Problem("store_unavailable", "away")


@dataclass
class Uncertain(Totals):
    """Totals whose answers may be lost, before or after the report was counted."""

    answers: list[str]
    kept: MemoryTotals = field(default_factory=MemoryTotals)

    async def add(self, report: Report) -> None:
        answer = self.answers.pop(0) if self.answers else "counted"
        if answer == "away":
            raise AWAY
        await self.kept.add(report)
        if answer == "lost":
            raise AWAY

    async def read(self) -> Whole:
        return await self.kept.read()


def errors(whole: Whole, code: str) -> float:
    return whole.totals.get(("errors_total", (("component", "api"), ("type", code))), 0.0)


async def test_the_figures_of_all_processes_add_up_and_gauges_stay_apart() -> None:
    totals = MemoryTotals()
    counted = [Instruments() for _ in range(3)]
    reporters = [Reporter("gateway", one, totals) for one in counted]
    for number, one in enumerate(counted, 1):
        for _ in range(number):
            one.errors.count("no_face", "api")
    for reporter in reporters:
        await reporter.report()
    whole = await reporters[0].whole()
    assert errors(whole, "no_face") == 6
    assert len(whole.gauges) == 3
    for gauges in whole.gauges.values():
        assert gauges["memory_usage_bytes", ()] > 1_000_000


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["counted", "away", "lost"]))))
async def test_whatever_answers_are_lost_nothing_is_lost_or_counted_twice(steps: list[tuple[int, str]]) -> None:
    instruments, totals = Instruments(), Uncertain([answer for _, answer in steps])
    reporter = Reporter("gateway", instruments, totals)
    for count, _ in steps:
        for _ in range(count):
            instruments.errors.count("no_face", "api")
        with suppress(Problem):
            await reporter.report()
    await reporter.report()
    whole = await reporter.whole()
    assert errors(whole, "no_face") == sum(count for count, _ in steps)


async def test_a_report_that_failed_is_told_to_who_asked() -> None:
    with pytest.raises(Problem):
        await Reporter("gateway", Instruments(), Uncertain(["away"])).whole()
