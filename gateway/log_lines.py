"""Log lines for people at a terminal."""

import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text
from rich.traceback import Traceback

from gateway.printable import printable

_SYMBOLS: Mapping[str, str] = MappingProxyType(
    {
        "listening on": "🚀",
        "worker starts": "🚀",
        "worker stop": "👋",
        "job begun": "📋",
        "job completed": "✅",
        "job failed": "❌",
        "job will be tried again": "🔁",
        "cache hit": "⚡",
        "messages taken": "📨",
        "migration applied": "🐘",
    }
)
"""By the beginning of the message."""
_BY_LEVEL: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "DEBUG": ("·", "dim"),
        "INFO": ("•", ""),
        "WARNING": ("⚠", "yellow"),
        "ERROR": ("✖", "bold red"),
        "CRITICAL": ("✖", "bold red"),
    }
)
_SHORT = ("job_id",)
_SHORT_CHARACTERS = 8
_LEFT_OUT = ("logger", "trace_id")
"""They are in the JSON form."""
_INDENT = (0, 0, 0, 2)
"""Above, right, below, left: no line of a traceback begins where an event's line does."""


@dataclass(frozen=True)
class _Harmless:
    """A traceback, whose error may quote what callers sent: indented, and without orders to the terminal."""

    traceback: Traceback

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        folded = options.update(no_wrap=False, overflow="fold")
        for segment in console.render(Padding(self.traceback, _INDENT, expand=False), folded):
            yield Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)


class Lines:
    """A structlog renderer; colours as the terminal, FORCE_COLOR and NO_COLOR have it."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, soft_wrap=True, highlight=False)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, object]) -> str:
        """One event, a traceback below it where there is one."""
        failure = _failure(event.pop("exc_info", None))
        line = _line(event)
        with self._console.capture() as written:
            self._console.print(Group(line, failure) if failure else line)
        return written.get().rstrip("\n")


def at_terminal() -> bool:
    """Whether somebody reads standard error, or FORCE_COLOR says so, as in a container."""
    return Console(file=sys.stderr).is_terminal


def _line(event: MutableMapping[str, object]) -> Text:
    clock = str(event.pop("timestamp")).partition("T")[2][:8]
    level, message = str(event.pop("level")), printable(event.pop("event"))
    symbol, style = _BY_LEVEL.get(level, _BY_LEVEL["INFO"])  # libraries have levels of their own
    line = Text.assemble((clock, "dim"), f" {_symbol(message) or symbol} ", (message, style))
    for name, value in event.items():
        if name not in _LEFT_OUT:
            shown = str(value)[:_SHORT_CHARACTERS] if name in _SHORT else printable(value)
            line.append(f"  {name}=", "dim cyan").append(shown, "dim")
    return line


def _symbol(message: str) -> str | None:
    return next((symbol for beginning, symbol in _SYMBOLS.items() if message.startswith(beginning)), None)


def _failure(exc_info: object) -> RenderableType | None:
    """What structlog and logging accept as exc_info."""
    match sys.exc_info() if exc_info is True else exc_info:
        case BaseException() as error:
            return _Harmless(Traceback.from_exception(type(error), error, error.__traceback__))
        case (type() as kind, BaseException() as error, (TracebackType() | None) as trace):
            return _Harmless(Traceback.from_exception(kind, error, trace))
    return None
