"""What a gateway tells as tables: jobs, dead letters, results that are kept; what its answer lacks stays empty."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

from rich.console import Console
from rich.text import Text

from gateway.terminal import cell, screen, table

JobObject: TypeAlias = Mapping[str, object]
"""A job as the gateway's JSON has it, with an id and a state at least."""
_STYLES = {"completed": "green", "failed": "red", "running": "cyan", "deleting": "yellow"}
_STATUSES = {"SUCCESS": "green", "FAILURE": "red"}
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60))


def print_jobs(jobs: Sequence[JobObject]) -> None:
    """A row for each job."""
    rows = table("user/request", "why", whole=("job", "state", "age"))
    for job in jobs:
        asked = "/".join(str(job[name]) for name in ("user_id", "request_id") if job.get(name))
        rows.add_row(cell(job.get("id", "")), state_text(job), age(job.get("created_at")), cell(asked), reason(job))
    screen().print(rows)


def print_job(job: JobObject) -> None:
    """Everything about one job."""
    print_facts(_facts(job))
    console = screen()
    if artifacts := _objects(job.get("artifacts")):
        rows = table("artifact", "bytes", "url")
        for name, artifact in artifacts.items():
            rows.add_row(cell(name), cell(artifact.get("bytes", "")), cell(_unsigned(artifact.get("url", ""))))
        console.print(rows)
    _print_callbacks(console, job)


def print_dead_letters(entries: Iterable[Mapping[str, object]]) -> None:
    """A row for each entry."""
    rows = table("entry", "job", "origin", "tries", "bytes", "age", "why")
    for entry in entries:
        cells = (_text(entry, name) for name in ("id", "job_id", "origin", "attempts", "bytes"))
        rows.add_row(*map(cell, cells), age(entry.get("created_at")), cell(_failure(entry.get("error"))))
    screen().print(rows)


def age(created_at: object) -> str:
    """How long ago an RFC 3339 time was, in its largest unit; empty for anything else."""
    try:
        created = datetime.fromisoformat(str(created_at))
        aware = created if created.tzinfo else created.replace(tzinfo=UTC)
        seconds = max(0, int((datetime.now(UTC) - aware).total_seconds()))
    except (ValueError, OverflowError):
        return ""
    name, size = next(((name, size) for name, size in _UNITS if seconds >= size), ("s", 1))
    return f"{seconds // size} {name}"


def print_kept_results(tasks: Iterable[Mapping[str, object]]) -> None:
    """A row for each task whose result is kept."""
    rows = table("task", "pipeline", "status", "age", "ms", "regions", "hits", "error")
    for task in tasks:
        status = _text(task, "status")
        numbers = ("processing_time_ms", "regions_detected", "cache_hits", "error_type")
        names = (cell(_text(task, "task_id")), cell(_text(task, "pipeline")), cell(status, _STATUSES.get(status, "")))
        rows.add_row(*names, age(task.get("submitted_at")), *(cell(_text(task, name)) for name in numbers))
    screen().print(rows)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """A row for each name and value."""
    rows = table("", "")
    rows.show_header = False
    for name, value in facts:
        rows.add_row(cell(name), cell(value))
    screen().print(rows)


def state_text(job: JobObject) -> Text:
    """A job's state in its colour."""
    state = _text(job, "state")
    return cell(state, _STYLES.get(state, ""))


def reason(job: JobObject) -> Text:
    """Why a job failed, is tried again, or is not gone yet."""
    return cell(_failure(job.get("last_error" if job.get("state") in {"queued", "deleting"} else "error")))


def _facts(job: JobObject) -> Iterable[tuple[str, str]]:
    names = ("id", "state", "pipeline", "user_id", "request_id", "source", "trace_id", "priority", "attempts")
    for name in (*names, "created_at", "started_at", "finished_at"):
        yield name, _text(job, name)
    for name in ("error", "last_error"):
        if job.get(name):
            yield name, _failure(job[name])
    if timings := job.get("timings_ms"):
        yield "timings_ms", json.dumps(timings)


def _print_callbacks(console: Console, job: JobObject) -> None:
    callbacks = job.get("callbacks")
    if not isinstance(callbacks, list) or not callbacks:
        return
    rows = table("callback", "to", "state", "tries", "why")
    for callback in filter(_is_object, callbacks):
        names = ("kind", "destination", "state", "attempts", "last_error")
        rows.add_row(*(cell(_text(callback, name)) for name in names))
    console.print(rows)


def _objects(value: object) -> Mapping[str, Mapping[str, object]]:
    return {name: one for name, one in value.items() if _is_object(one)} if isinstance(value, Mapping) else {}


def _is_object(value: object) -> bool:
    return isinstance(value, Mapping)


def _text(of: Mapping[str, object], name: str) -> str:
    value = of.get(name)
    return "" if value is None else str(value)


def _failure(failure: object) -> str:
    return f"{failure.get('code')}: {failure.get('detail')}" if isinstance(failure, Mapping) else ""


def _unsigned(url: object) -> str:
    """A link without its signature, which would let whoever sees the terminal fetch the mask; `--json` has it whole."""
    address, mark, _ = str(url).partition("?")
    return f"{address}?…" if mark else address
