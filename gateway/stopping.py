"""Which signals tell a process to stop, and that it was told."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGTERM, whatever was ignored at the start; SIGINT and the end of the terminal, unless they were.

    A script's shell has SIGINT ignored in what it starts in the background, and nohup(1) has SIGHUP.
    """
    heard = (one for one in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN)
    return (signal.SIGTERM, *heard)


class Stopping:
    """Takes the signals as long as the context lasts, so that none ends the process between two of its steps."""

    def __init__(self) -> None:
        self.told = False
        self._interrupts = False

    def check(self) -> None:
        """Raise KeyboardInterrupt where it was told to stop."""
        if self.told:
            raise KeyboardInterrupt

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Within it, being told raises KeyboardInterrupt, wherever the process is."""
        self.check()
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.told = True
        if self._interrupts:
            self._interrupts = False
            raise KeyboardInterrupt


@contextmanager
def stopping() -> Iterator[Stopping]:
    """Note the signals from here on."""
    noted = Stopping()
    before = {number: signal.signal(number, noted.note) for number in stop_signals()}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
