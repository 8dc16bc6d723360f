"""A pipeline served by the stack, compared with a bare loop of the same work."""

import asyncio
from dataclasses import dataclass

from rich.table import Table

from loadtests.bare import loop, loop_in_processes, stage_times
from loadtests.caller import Load, call_repeatedly
from steps.tensors import Tensors

CALLERS = 16
CORES = 2
COLUMNS = (
    "bare, 2 threads /s", "bare, 2 processes /s", "served /s", "of 2 threads", "of 2 processes", "p50 ms", "p95 ms",
    "p99 ms",
)  # fmt: skip
"""Titles of `Comparison.cells`."""
_STAGE_RUNS = 40


@dataclass(frozen=True)
class Comparison:
    """The bare loop on two threads and in two processes, and the same work served to many callers."""

    bare: Load
    processes: Load
    served: Load

    def cells(self) -> list[str]:
        """A row of a table: rates, shares, latencies."""
        rates = [self.bare.per_second, self.processes.per_second, self.served.per_second]
        shares = [self.served.per_second / rate for rate in rates[:2]]
        tail = [self.served.percentile(share) for share in (50, 95, 99)]
        return [
            *(f"{rate:.1f}" for rate in rates),
            *(f"{share:.2f}" for share in shares),
            *(f"{ms:.0f}" for ms in tail),
        ]


def compare(model: str, inputs: Tensors, address: tuple[str, int], post: bytes, seconds: float) -> Comparison:
    """Measure each in turn, `seconds` long. `post` is the request with these `inputs`."""
    return Comparison(
        bare=loop(model, inputs, workers=CORES, threads=1, seconds=seconds),
        processes=loop_in_processes(model, inputs, workers=CORES, threads=1, seconds=seconds),
        served=asyncio.run(call_repeatedly(*address, post, CALLERS, seconds)),
    )


def stages_table(title: str, model: str, inputs: Tensors) -> Table:
    """The median time of each stage in one thread."""
    table = Table("stage", "ms", "share", title=title, title_justify="left")
    times = stage_times(model, inputs, threads=1, runs=_STAGE_RUNS)
    for stage, milliseconds in times.items():
        table.add_row(stage, f"{milliseconds:.1f}", f"{milliseconds / sum(times.values()):.0%}")
    return table
