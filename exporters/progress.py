"""Progress bars on a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from gateway.text import shown


class ProgressBars:
    """A listener that draws one line per task; draws nothing where the output is no terminal."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
        quiet = not console.is_terminal
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=quiet)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def started(self, task: str, total: int | None) -> None:
        """Show the line of `task`."""
        self._tasks[task] = self._progress.add_task(shown(task), total=total)

    def advanced(self, task: str, done: int) -> None:
        """Move its bar to `done` bytes."""
        self._progress.update(self._tasks[task], completed=done)

    def finished(self, task: str) -> None:
        """Take the line away."""
        self._progress.remove_task(self._tasks.pop(task))
