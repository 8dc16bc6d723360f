"""What long work tells whoever watches it."""

from typing import Protocol


class Listener(Protocol):
    """Watches tasks that are known by name."""

    def started(self, task: str, total: int | None) -> None:
        """A task begins; `total` in bytes, None where it cannot be foreseen."""

    def advanced(self, task: str, done: int) -> None:
        """`done` bytes so far."""

    def finished(self, task: str) -> None:
        """The task has ended, well or not."""


class Silence:
    """A listener that shows nothing."""

    def started(self, task: str, total: int | None) -> None:
        """Nothing."""

    def advanced(self, task: str, done: int) -> None:
        """Nothing."""

    def finished(self, task: str) -> None:
        """Nothing."""
