"""Structured logs: one JSON object a line, or a readable line on a terminal; and the traces that lines belong to."""

import contextlib
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from types import MappingProxyType, TracebackType
from typing import TextIO, cast
from uuid import UUID

import structlog
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.segment import Segment
from rich.text import Text
from rich.traceback import Traceback
from structlog.typing import FilteringBoundLogger, Processor

from gateway.settings import Settings
from gateway.untrusted_text import printable

_ORDER = ["timestamp", "level", "logger", "user_id", "request_id", "job_id", "trace_id", "message"]
_REPEATED_S = 30.0
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
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
"""Symbol and style."""
_SHORT = ("job_id",)
_SHORT_CHARACTERS = 8
_JSON_ONLY = ("logger", "trace_id")
_INDENT = (0, 0, 0, 2)
"""Above, right, below, left: no line of a traceback begins where an event's line does."""


def configure_logs(settings: Settings) -> None:
    """Send all logs, the libraries' too, to standard error in one shape."""
    level = getattr(logging, settings.effective_log_level)
    renderer = _renderer(settings)
    structlog.configure(
        processors=[*_SHARED, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    foreign = [structlog.stdlib.add_logger_name, *_SHARED]
    drop_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(processors=[drop_meta, *renderer], foreign_pre_chain=foreign)
    )
    handler.addFilter(Repeats("aiokafka", _REPEATED_S))
    logging.basicConfig(handlers=[handler], level=max(level, logging.INFO), force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs every request, with the whole of a signed link


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry the name as `logger`; it may be made before the logs are configured."""
    return cast("FilteringBoundLogger", structlog.get_logger(logger_name=name))


class _StandardError:
    """Standard error; a line that a full disk does not take is lost, and no error comes of it."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


class Repeats(logging.Filter):
    """Passes a warning or worse from a line of the library's code once in `interval_s` seconds.

    A library that tries again and again would fill the logs.
    """

    def __init__(self, library: str, interval_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(library)
        self._interval_s = interval_s
        self._clock = clock
        self._logged: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged; those of other libraries always are."""
        if record.levelno < logging.WARNING or not super().filter(record):
            return True
        place, now = (record.pathname, record.lineno), self._clock()
        if now - self._logged.get(place, -self._interval_s) < self._interval_s:
            return False
        self._logged[place] = now
        return True


def _our_names(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """The level in capitals; `logger`, a name that structlog's own function takes as its first argument."""
    if "logger_name" in event:
        event["logger"] = event.pop("logger_name")
    event["level"] = str(event["level"]).upper()
    return event


_SHARED: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    _our_names,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def _renderer(settings: Settings) -> list[Processor]:
    at_terminal = Console(file=sys.stderr).is_terminal  # or FORCE_COLOR says so, as in a container
    if settings.log_format == "console" or (settings.log_format == "auto" and at_terminal):
        return [Lines()]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        _ordered,
        structlog.processors.JSONRenderer(),
    ]


def _ordered(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    first = {key: event.pop(key) for key in _ORDER if key in event}
    return {**first, **event}


class Lines:
    """Renders events as lines for people; in colours where the terminal, FORCE_COLOR and NO_COLOR allow them."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stderr, soft_wrap=True, highlight=False)

    def __call__(self, _logger: object, _method: str, event: MutableMapping[str, object]) -> str:
        """One event, a traceback below it where there is one."""
        failure = _failure(event.pop("exc_info", None))
        line = _line(event)
        with self._console.capture() as written:
            self._console.print(Group(line, failure) if failure else line)
        return written.get().rstrip("\n")


def _line(event: MutableMapping[str, object]) -> Text:
    clock = str(event.pop("timestamp")).partition("T")[2][:8]
    level, message = str(event.pop("level")), printable(event.pop("event"))
    symbol, style = _BY_LEVEL.get(level, _BY_LEVEL["INFO"])  # libraries have levels of their own
    symbol = next((own for beginning, own in _SYMBOLS.items() if message.startswith(beginning)), symbol)
    line = Text.assemble((clock, "dim"), f" {symbol} ", (message, style))
    for name, value in event.items():
        if name not in _JSON_ONLY:
            shown = str(value)[:_SHORT_CHARACTERS] if name in _SHORT else printable(value)
            line.append(f"  {name}=", "dim cyan").append(shown, "dim")
    return line


@dataclass(frozen=True)
class _HarmlessTraceback:
    """Indented, and printable: the error in it may quote what callers sent."""

    traceback: Traceback

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        folded = options.update(no_wrap=False, overflow="fold")
        for segment in console.render(Padding(self.traceback, _INDENT, expand=False), folded):
            yield Segment("\n".join(map(printable, segment.text.split("\n"))), segment.style)


def _failure(exc_info: object) -> RenderableType | None:
    """What structlog and logging accept as exc_info."""
    match sys.exc_info() if exc_info is True else exc_info:
        case BaseException() as error:
            return _HarmlessTraceback(Traceback.from_exception(type(error), error, error.__traceback__))
        case (type() as kind, BaseException() as error, (TracebackType() | None) as trace):
            return _HarmlessTraceback(Traceback.from_exception(kind, error, trace))
    return None


def trace_id_of(traceparent: str) -> str | None:
    """The 32 hex digits of a `traceparent` header; None where it is not one."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    return match.group(1) if match else None


def traceparent(trace_id: str, job_id: UUID) -> str:
    """The header of what a job sends; the job itself is the parent."""
    return f"00-{trace_id}-{job_id.hex[:16]}-01"
