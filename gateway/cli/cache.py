"""`maskwright cache stats|recent|cleanup`."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import httpx
import typer
from pydantic import TypeAdapter

from gateway.cli.client import Gateway, content_of, converse
from gateway.cli.options import Json, PlainHttp, Url
from gateway.cli.tables import age
from gateway.cli.terminal import cell, print_json, say, screen, table

_STATS, _RECENT, _CLEANUP = (f"/api/v1/cache/{name}" for name in ("stats", "recent", "cleanup"))
_STYLES = {"SUCCESS": "green", "FAILURE": "red"}
_TITLES = ("task", "pipeline", "status", "age", "ms", "regions", "hits", "error")

_OBJECT, _OBJECTS = TypeAdapter(dict[str, object]), TypeAdapter(list[dict[str, object]])

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at the results that are kept; make room.")


@app.command()
def stats(
    days: Annotated[int, typer.Option(min=1, max=30, help="Days to look back, today among them.")] = 7,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """How often results were there already, and what is kept."""

    async def ask(client: httpx.AsyncClient) -> Mapping[str, object]:
        return content_of(await client.get(_STATS, params={"days": days}), _OBJECT)

    (print_json if as_json else _print_stats)(converse(Gateway(url, plain_http), ask))


@app.command()
def recent(
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many at most.")] = 10,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Results, the newest first."""

    async def ask(client: httpx.AsyncClient) -> list[dict[str, object]]:
        return content_of(await client.get(_RECENT, params={"limit": limit}), _OBJECTS)

    (print_json if as_json else _print_recent)(converse(Gateway(url, plain_http), ask))


@app.command()
def cleanup(
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Remove what is too old or too much now, instead of soon."""

    async def ask(client: httpx.AsyncClient) -> Mapping[str, object]:
        return content_of(await client.post(_CLEANUP), _OBJECT)

    say(converse(Gateway(url, plain_http), ask).get("message", ""))


def _print_stats(figures: Mapping[str, object]) -> None:
    rows = table("", "")
    rows.show_header = False
    for name, value in figures.items():
        rows.add_row(cell(name), cell(value))
    screen().print(rows)


def _print_recent(tasks: Iterable[Mapping[str, object]]) -> None:
    rows = table(*_TITLES)
    for task in tasks:
        status = str(task.get("status", ""))
        told = (task.get(name) for name in ("processing_time_ms", "regions_detected", "cache_hits", "error_type"))
        names = (cell(task.get("task_id", "")), cell(task.get("pipeline", "")), cell(status, _STYLES.get(status, "")))
        rows.add_row(*names, age(task.get("submitted_at")), *(cell("" if one is None else one) for one in told))
    screen().print(rows)
