"""What `maskwright submit` shows: a bar and the jobs' states while it works, a table at the end."""

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gateway.cli.sources import Source
from gateway.cli.submitter import Submitted
from gateway.cli.tables import state_text
from gateway.cli.terminal import Screen, cell, print_json, screen, table
from gateway.cli.watching import FINISHED, JobObject
from gateway.text import shown


class Board:
    """A bar on standard error."""

    def __init__(self, total: int) -> None:
        columns = (TextColumn("photos", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("{task.description}", markup=False), console=Screen(stderr=True))
        self._task = self._bar.add_task("", total=total)
        self._states: dict[Source, str] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def note(self, source: Source, job: JobObject) -> None:
        """Show a job's state among the others'."""
        self._states[source] = shown(job["state"])
        counts = Counter(state for state in self._states.values() if state not in FINISHED)
        self._bar.update(self._task, description=", ".join(f"{count} {state}" for state, count in counts.items()))

    def done(self, submitted: Submitted) -> None:
        """Count a photo, and say at once what went wrong with it."""
        if submitted.code:
            line = shown(f"{submitted.source.name}: {submitted.code}: {submitted.detail}")
            self._bar.console.print(line, soft_wrap=True, style="red")
        self._bar.advance(self._task)


def print_submitted(submitted: Sequence[Submitted]) -> None:
    """A row for each photo and the totals, on standard output."""
    failed = sum(one.code is not None for one in submitted)
    caption = f"{len(submitted) - failed} of {len(submitted)} photos" + (f", {failed} failed" if failed else "")
    rows = table("photo", "job", "result", "where", caption=caption)
    for one in submitted:
        result = state_text(one.job) if one.job and not one.code else cell(one.code or "", "red")
        where = "" if one.code or one.source.photo is None else one.source.photo.target
        rows.add_row(cell(one.source.name), cell(one.job["id"] if one.job else ""), result, cell(where))
    screen().print(rows)


def print_submitted_json(submitted: Sequence[Submitted]) -> None:
    """The jobs as the gateway has them, and what went wrong where there is none."""
    print_json([one.job or {"error": {"code": one.code, "detail": one.detail}} for one in submitted])
