"""What `maskwright run` shows: a bar while it works, a table at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from gateway.cli.files import shown
from gateway.cli.photos import Layout
from gateway.cli.sender import Outcome
from gateway.cli.tables import screen


@contextmanager
def progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar on standard error; the function it gives advances it and reports a failed photo at once."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("photos", total=total)

        def advance(outcome: Outcome) -> None:
            if outcome.code:
                line = shown(f"{outcome.photo.source}: {outcome.code}: {outcome.detail}")
                bar.console.print(line, markup=False, highlight=False, soft_wrap=True, style="red")
            bar.advance(task)

        yield advance


@contextmanager
def video_progress(name: str) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error for a video's frames; what it gives is told how many are done, and of how many."""
    described = TextColumn("{task.description}", markup=False)
    columns = (described, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(name, total=None)

        def told(done: int, total: int | None) -> None:
            bar.update(task, description=f"{name}: {'finding' if total is None else 'hiding'}", total=total)
            bar.update(task, completed=done)

        yield told


def print_summary(outcomes: Sequence[Outcome]) -> None:
    """A row for each photo and the totals, on standard output."""
    failed = sum(outcome.code is not None for outcome in outcomes)
    caption = f"{len(outcomes) - failed} of {len(outcomes)} photos done" + (f", {failed} failed" if failed else "")
    table = Table(*(Column(title, overflow="fold") for title in ("photo", "result", "where")), caption=caption)
    for outcome in outcomes:
        count = len(outcome.files)
        result = outcome.code or f"{count} {'file' if count == 1 else 'files'}"
        where = "" if outcome.code else str(_where(outcome))
        table.add_row(*map(Text, (shown(str(outcome.photo.source)), result, shown(where))))
    screen().print(table)


def _where(outcome: Outcome) -> Path:
    """The folder of a photo's artifacts; in a mirror the copy, which comes first."""
    return outcome.photo.target if outcome.photo.layout is Layout.FOLDERS else outcome.files[0]
