"""What `maskwright run` shows: a bar while it works, a table at the end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.photos import Layout
from gateway.cli.sender import Outcome
from gateway.cli.terminal import Screen, cell, screen, table
from gateway.text import shown


@contextmanager
def progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar on standard error; the function it gives advances it and reports a failed photo at once."""
    console = Screen(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("photos", total=total)

        def advance(outcome: Outcome) -> None:
            if outcome.code:
                line = shown(f"{outcome.photo.source}: {outcome.code}: {outcome.detail}")
                bar.console.print(line, soft_wrap=True, style="red")
            bar.advance(task)

        yield advance


@contextmanager
def video_progress(name: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on standard error for a video's frames: done of known, frames a second, and the time that is left.

    What it gives is told the stage, how many frames of it are done, and of how many.
    """
    label = shown(name)
    described, rate = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[rate]}"))
    columns = (described, BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=Screen(stderr=True)) as bar:
        task = bar.add_task(label, total=None, rate="")

        def told(stage: str, done: int, total: int) -> None:
            description = f"{label}: {stage}"
            if bar.tasks[0].description != description:
                bar.reset(task, description=description, total=total)
            bar.update(task, completed=done, total=total)
            speed = bar.tasks[0].speed
            bar.update(task, rate=f"{speed:.1f} frames/s" if speed else "")

        yield told


def print_summary(outcomes: Sequence[Outcome]) -> None:
    """A row for each photo and the totals, on standard output."""
    failed = sum(outcome.code is not None for outcome in outcomes)
    caption = f"{len(outcomes) - failed} of {len(outcomes)} photos done" + (f", {failed} failed" if failed else "")
    rows = table("photo", "result", "where", caption=caption)
    for outcome in outcomes:
        count = len(outcome.files)
        result = outcome.code or f"{count} {'file' if count == 1 else 'files'}"
        rows.add_row(*map(cell, (outcome.photo.source, result, "" if outcome.code else _where(outcome))))
    screen().print(rows)


def _where(outcome: Outcome) -> Path:
    """The folder of a photo's artifacts; in a mirror the copy, which comes first."""
    return outcome.photo.target if outcome.photo.layout is Layout.FOLDERS else outcome.files[0]
