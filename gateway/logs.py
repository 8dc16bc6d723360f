"""Structured logs: one JSON object a line, or a readable line on a terminal."""

import contextlib
import logging
import sys
from collections.abc import MutableMapping
from typing import TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

from gateway.log_lines import Lines, at_terminal
from gateway.log_repeats import Repeats
from gateway.settings import Settings

_ORDER = ["timestamp", "level", "logger", "user_id", "request_id", "job_id", "trace_id", "message"]
_REPEATED_S = 30.0


class _StandardError:
    """A line that a full disk does not take is lost, and ends nobody's work."""

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.flush()


def configure_logs(settings: Settings) -> None:
    """Send all logs, the libraries' too, to standard error in one shape."""
    level = getattr(logging, settings.effective_log_level)
    shared, renderer = _shared(), _renderer(settings)
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _StandardError())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    foreign = [structlog.stdlib.add_logger_name, *shared]
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


def _readable(settings: Settings) -> bool:
    return settings.log_format == "console" or (settings.log_format == "auto" and at_terminal())


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _named,
        structlog.processors.add_log_level,
        _upper_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _renderer(settings: Settings) -> list[Processor]:
    if _readable(settings):
        return [Lines()]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        _ordered,
        structlog.processors.JSONRenderer(),
    ]


def _named(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """`logger` itself is a name that structlog's own function takes."""
    if "logger_name" in event:
        event["logger"] = event.pop("logger_name")
    return event


def _upper_level(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    event["level"] = str(event["level"]).upper()
    return event


def _ordered(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    first = {key: event.pop(key) for key in _ORDER if key in event}
    return {**first, **event}
