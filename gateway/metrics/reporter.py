"""A process's figures, brought to where they are added up."""

import asyncio
import os
import socket
import uuid
from collections.abc import Mapping
from contextlib import suppress

from prometheus_client import CollectorRegistry

from gateway.errors import Problem
from gateway.metrics.instruments import Instruments
from gateway.metrics.totals import Report, Series, Totals, Values, Whole

_PAUSE_S = 5.0
_CREATED = "_created"
"""Samples that say when a series began; nobody adds up those."""


class Reporter:
    """Reports what is new. A report that may have arrived is repeated as it was, until it has."""

    def __init__(self, part: str, instruments: Instruments, totals: Totals) -> None:
        self._process = f"{part}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._instruments = instruments
        self._totals = totals
        self._lock = asyncio.Lock()
        self._number = 0
        self._reported: Values = {}
        self._unsure: Report | None = None

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            with suppress(Problem):  # the next report says it too
                await self.report()
            await asyncio.sleep(_PAUSE_S)

    async def report(self) -> None:
        """Report what is new. Raises Problem `store_unavailable`."""
        async with self._lock:
            if self._unsure is None:
                self._unsure = self._news()
            await self._totals.add(self._unsure)
            self._unsure = None

    async def whole(self) -> Whole:
        """Everybody's figures, this process's up to now. Raises Problem `store_unavailable`."""
        await self.report()
        return await self._totals.read()

    def _news(self) -> Report:
        self._instruments.usage.read()
        counted = _values(self._instruments.counted)
        self._number += 1
        report = Report(
            self._process, self._number, _grown(self._reported, counted), _values(self._instruments.measured)
        )
        self._reported = counted
        return report


def _values(registry: CollectorRegistry) -> dict[Series, float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith(_CREATED)
    }


def _grown(before: Values, after: Values) -> Mapping[Series, float]:
    growth = {series: value - before.get(series, 0.0) for series, value in after.items()}
    return {series: more for series, more in growth.items() if more or series not in before}
