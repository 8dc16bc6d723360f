"""`maskwright poison` and `maskwright cache`: commands for callers with the scope `operate`."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import httpx
import typer
from pydantic import TypeAdapter

from gateway.cli.client import accepted, asks_gateway, collect_pages, content_of
from gateway.cli.jobs import age, failure_text, print_facts, segment, text_of
from gateway.cli.options import Json
from gateway.cli.terminal import cell, print_json, say, screen, table

_CACHE = "/api/v1/cache"
_STATUSES = {"SUCCESS": "green", "FAILURE": "red"}
_OBJECT, _OBJECTS = TypeAdapter(dict[str, object]), TypeAdapter(list[dict[str, object]])

DeadLetters = Annotated[list[str], typer.Argument(metavar="ENTRY…", help="Numbers of entries.")]

poison = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Look at what was given up; try again, or forget it."
)
cache = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at the results that are kept; make room.")


@poison.command("list")
@asks_gateway
async def list_dead_letters(
    client: httpx.AsyncClient,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """Open entries, the newest first."""
    entries = await collect_pages(client, "/v1/poison", "entries", {}, limit)
    (print_json if as_json else print_dead_letters)(entries)


@poison.command()
@asks_gateway
async def replay(client: httpx.AsyncClient, entries: DeadLetters) -> None:
    """Work on entries again."""
    for entry in entries:
        accepted(await client.post(f"{_dead_letter_path(entry)}/replay"))
        say(f"{entry} replayed")


@poison.command()
@asks_gateway
async def drop(client: httpx.AsyncClient, entries: DeadLetters) -> None:
    """Forget entries."""
    for entry in entries:
        accepted(await client.delete(_dead_letter_path(entry)))
        say(f"{entry} dropped")


@cache.command()
@asks_gateway
async def stats(
    client: httpx.AsyncClient,
    days: Annotated[int, typer.Option(min=1, max=30, help="Days to look back, today among them.")] = 7,
    as_json: Json = False,
) -> None:
    """How often results were there already, and what is kept."""
    found = content_of(await client.get(f"{_CACHE}/stats", params={"days": days}), _OBJECT)
    if as_json:
        print_json(found)
    else:
        print_facts(found.items())


@cache.command()
@asks_gateway
async def recent(
    client: httpx.AsyncClient,
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many at most.")] = 10,
    as_json: Json = False,
) -> None:
    """Results, the newest first."""
    found = content_of(await client.get(f"{_CACHE}/recent", params={"limit": limit}), _OBJECTS)
    (print_json if as_json else print_kept_results)(found)


@cache.command()
@asks_gateway
async def cleanup(client: httpx.AsyncClient) -> None:
    """Remove what is too old or too much now, instead of soon."""
    say(content_of(await client.post(f"{_CACHE}/cleanup"), _OBJECT).get("message", ""))


def _dead_letter_path(entry: str) -> str:
    return f"/v1/poison/{segment(entry)}"


def print_dead_letters(entries: Iterable[Mapping[str, object]]) -> None:
    """A row for each entry."""
    rows = table("entry", "job", "origin", "tries", "bytes", "age", "why")
    for entry in entries:
        cells = (text_of(entry, name) for name in ("id", "job_id", "origin", "attempts", "bytes"))
        rows.add_row(*map(cell, cells), age(entry.get("created_at")), cell(failure_text(entry.get("error"))))
    screen().print(rows)


def print_kept_results(tasks: Iterable[Mapping[str, object]]) -> None:
    """A row for each task with a kept result."""
    rows = table("task", "pipeline", "status", "age", "ms", "regions", "hits", "error")
    for task in tasks:
        status = text_of(task, "status")
        numbers = ("processing_time_ms", "regions_detected", "cache_hits", "error_type")
        names = (
            cell(text_of(task, "task_id")),
            cell(text_of(task, "pipeline")),
            cell(status, _STATUSES.get(status, "")),
        )
        rows.add_row(*names, age(task.get("submitted_at")), *(cell(text_of(task, name)) for name in numbers))
    screen().print(rows)
