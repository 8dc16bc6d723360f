"""Which signals tell a process to stop, and that it was told."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def stop_signals() -> tuple[signal.Signals, ...]:
    """SIGINT and SIGTERM; the end of the terminal too, unless nohup(1) or the like had it ignored."""
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hangup)


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
    """Note the signals from here on; SIGINT too, where it is not ignored, as in the background of a script."""
    noted = Stopping()
    before = {
        number: signal.signal(number, noted.note)
        for number in stop_signals()
        if number is signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
