"""Jobs and poison entries as tables, or as JSON for scripts."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from gateway.cli.watching import JobObject

_STYLES = {"completed": "green", "failed": "red", "running": "cyan", "deleting": "yellow"}
_PIPED_COLUMNS = 240
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


def screen() -> Console:
    """Standard output; wide where no terminal bounds it, so that a pipe gets whole rows."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_COLUMNS)


def print_json(value: object) -> None:
    """JSON on standard output, as it came."""
    Console(soft_wrap=True).print(json.dumps(value, indent=2, ensure_ascii=False), markup=False, highlight=False)


def print_jobs(jobs: Sequence[JobObject]) -> None:
    """A row for each job."""
    whole = (Column(title, no_wrap=True) for title in ("job", "state", "age"))
    table = Table(*whole, *_columns("user/request", "why"))
    for job in jobs:
        asked = Text("/".join(str(job[name]) for name in ("user_id", "request_id") if job[name]))
        table.add_row(str(job["id"]), state_text(job), age(job["created_at"]), asked, reason(job))
    screen().print(table)


def print_job(job: JobObject) -> None:
    """Everything about one job."""
    console, facts = screen(), _table("", "")
    facts.show_header = False
    for name, value in _facts(job):
        facts.add_row(name, Text(value))
    console.print(facts)
    if artifacts := _objects(job, "artifacts"):
        table = _table("artifact", "bytes", "url")
        for name, artifact in artifacts.items():
            table.add_row(name, str(artifact["bytes"]), Text(str(artifact["url"])))
        console.print(table)
    _print_callbacks(console, job)


def print_poison(entries: Iterable[Mapping[str, object]]) -> None:
    """A row for each entry."""
    table = _table("entry", "job", "origin", "tries", "bytes", "age", "why")
    for entry in entries:
        names = ("id", "job_id", "origin", "attempts", "bytes")
        cells = (Text("" if entry[name] is None else str(entry[name])) for name in names)
        table.add_row(*cells, age(entry["created_at"]), Text(_failure(entry["error"])))
    screen().print(table)


def age(created_at: object) -> str:
    """How long ago an RFC 3339 time was, in its largest unit."""
    created = datetime.fromisoformat(str(created_at))
    seconds = max(0, int((datetime.now(UTC) - created).total_seconds()))
    name, size = next(((name, size) for name, size in _UNITS if seconds >= size), ("s", 1))
    return f"{seconds // size} {name}"


def state_text(job: JobObject) -> Text:
    """A job's state in its colour."""
    state = str(job["state"])
    return Text(state, style=_STYLES.get(state, ""))


def reason(job: JobObject) -> Text:
    """Why it failed, has to be tried again, or is not gone yet."""
    if job["state"] in {"queued", "deleting"}:
        return Text(_failure(job["last_error"]))
    return Text(_failure(job["error"]))


def _facts(job: JobObject) -> Iterable[tuple[str, str]]:
    names = ("id", "state", "pipeline", "user_id", "request_id", "source", "trace_id", "priority", "attempts")
    for name in (*names, "created_at", "started_at", "finished_at"):
        yield name, "" if job[name] is None else str(job[name])
    for name in ("error", "last_error"):
        if job[name]:
            yield name, _failure(job[name])
    if timings := job["timings_ms"]:
        yield "timings_ms", json.dumps(timings)


def _print_callbacks(console: Console, job: JobObject) -> None:
    callbacks = job.get("callbacks")
    if not isinstance(callbacks, list) or not callbacks:
        return
    table = _table("callback", "to", "state", "tries", "why")
    for callback in callbacks:
        cells = (callback["kind"], callback["destination"], callback["state"], callback["attempts"])
        table.add_row(*(Text(str(cell)) for cell in cells), Text(callback["last_error"] or ""))
    console.print(table)


def _objects(job: JobObject, name: str) -> Mapping[str, Mapping[str, object]]:
    value = job.get(name)
    return value if isinstance(value, Mapping) else {}


def _failure(failure: object) -> str:
    return f"{failure['code']}: {failure['detail']}" if isinstance(failure, Mapping) else ""


def _table(*titles: str) -> Table:
    return Table(*_columns(*titles))


def _columns(*titles: str) -> Iterable[Column]:
    return (Column(title, overflow="fold") for title in titles)
