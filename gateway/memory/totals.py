"""Sums of reports in memory."""

from collections import defaultdict

from gateway.metrics.totals import Report, Series, Totals, Values, Whole


class MemoryTotals(Totals):
    """Of one process, which lives as long as they do."""

    def __init__(self) -> None:
        self._totals: dict[Series, float] = defaultdict(float)
        self._gauges: dict[str, Values] = {}
        self._numbers: dict[str, int] = {}

    async def add(self, report: Report) -> None:
        """Count a report; nothing for one that was counted before."""
        if report.number <= self._numbers.get(report.process, 0):
            return
        self._numbers[report.process] = report.number
        self._gauges[report.process] = report.gauges
        for series, more in report.increments.items():
            self._totals[series] += more

    async def read(self) -> Whole:
        """Everything so far."""
        return Whole(dict(self._totals), dict(self._gauges))
