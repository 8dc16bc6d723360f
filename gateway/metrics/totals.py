"""Where the processes' figures come together: PostgreSQL or memory."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

Labels = tuple[tuple[str, str], ...]
Series = tuple[str, Labels]
"""A sample's name, as in `task_submissions_total`, and its labels, sorted."""
Values = Mapping[Series, float]


@dataclass(frozen=True)
class Report:
    """What one process counted since its report before, and what it measures now.

    `number` grows with every report of the process, so that one that comes twice counts once.
    """

    process: str
    number: int
    increments: Values
    gauges: Values


@dataclass(frozen=True)
class Whole:
    """The sums of everybody's increments, which never shrink, and the gauges of each living process."""

    totals: Values
    gauges: Mapping[str, Values]


class Totals(Protocol):
    """Sums of reports. Every method raises Problem `store_unavailable`."""

    async def add(self, report: Report) -> None:
        """Count a report; nothing for one that was counted before."""

    async def read(self) -> Whole:
        """Everything so far."""
