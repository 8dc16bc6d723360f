"""A server that is starting: what it is at, and whether it still works on it."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from deploy.embedded.errors import StackError
from deploy.embedded.logs import LogReader
from deploy.embedded.service import Service

LEAST_WORK = 10
"""Hundredths of a second of computing, and page faults from disk, that count as a sign of work.

A Triton whose model sleeps makes 1 in 5 seconds, one that loads on a machine a hundred times too busy as many.
"""

LONGEST_TEXT = 4 * 1024 * 1024
"""Bytes of a log that are looked through for what a server is at."""


@dataclass(frozen=True)
class Patience:
    """Seconds without a sign of work after which a server is given up, and between two looks."""

    without_work: float = 60.0
    between_looks: float = 1.0


USUAL = Patience()


class ComingUp:
    """The start of one server process; what its log reader finds is of this start."""

    def __init__(self, service: Service, pid: int, log: LogReader) -> None:
        self._service = service
        self._pid = pid
        self._log = log

    async def until_given_up(self, patience: Patience, tell: Callable[[str], None]) -> NoReturn:
        """Tell what it does whenever that changes. Raises StackError when it stands still, or after its time."""
        began = seen = time.monotonic()
        work, text, doing = self._work(), b"", ""
        while True:
            await asyncio.sleep(patience.between_looks)
            now, fresh = time.monotonic(), self._log.read()
            text = (text + fresh)[-LONGEST_TEXT:]
            if fresh or self._work() >= work + LEAST_WORK:
                work, seen = self._work(), now
            if (does := self._service.doing(text.decode(errors="replace"))) != doing:
                doing = does
                tell(doing)
            if now - seen > patience.without_work:
                raise StackError(f"{doing or 'it started'}, then did nothing for {patience.without_work:.0f} s")
            if now - began > self._service.start_timeout:
                raise StackError(f"{doing or 'it works'}, but is not ready after {self._service.start_timeout:.0f} s")

    def _work(self) -> int:
        """Of all processes of its session: clock ticks of computing, 100 a second, and page faults from disk."""
        return sum(ticks for session, ticks in _processes() if session == self._pid)


def _processes() -> Iterator[tuple[int, int]]:
    """The session and the work of every process; fields 6, 12, and 14 to 17 of proc_pid_stat(5)."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        yield int(fields[3]), int(fields[9]) + sum(map(int, fields[11:15]))
