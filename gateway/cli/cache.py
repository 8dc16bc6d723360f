"""`maskwright cache stats|recent|cleanup`."""

from collections.abc import Iterable, Mapping
from typing import Annotated, cast

import httpx
import typer
from rich.table import Column, Table
from rich.text import Text

from gateway.cli.client import accepted, converse
from gateway.cli.options import Json, Url
from gateway.cli.tables import age, print_json, screen

_STATS, _RECENT, _CLEANUP = (f"/api/v1/cache/{name}" for name in ("stats", "recent", "cleanup"))
_STYLES = {"SUCCESS": "green", "FAILURE": "red"}
_TITLES = ("task", "pipeline", "status", "age", "ms", "regions", "hits", "error")

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look at the results that are kept; make room.")


@app.command()
def stats(
    days: Annotated[int, typer.Option(min=1, max=30, help="Days to look back, today among them.")] = 7,
    url: Url = "",
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """How often results were there already, and what is kept."""

    async def ask(client: httpx.AsyncClient) -> Mapping[str, object]:
        return cast("Mapping[str, object]", accepted(await client.get(_STATS, params={"days": days})).json())

    (print_json if as_json else _print_stats)(converse(url, ask))


@app.command()
def recent(
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many at most.")] = 10,
    url: Url = "",
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Results, the newest first."""

    async def ask(client: httpx.AsyncClient) -> list[Mapping[str, object]]:
        return cast("list[Mapping[str, object]]", accepted(await client.get(_RECENT, params={"limit": limit})).json())

    (print_json if as_json else _print_recent)(converse(url, ask))


@app.command()
def cleanup(url: Url = "") -> None:
    """Remove what is too old or too much now, instead of soon."""

    async def ask(client: httpx.AsyncClient) -> Mapping[str, object]:
        return cast("Mapping[str, object]", accepted(await client.post(_CLEANUP)).json())

    typer.echo(converse(url, ask)["message"])


def _print_stats(figures: Mapping[str, object]) -> None:
    table = Table("", "", show_header=False)
    for name, value in figures.items():
        table.add_row(name, Text(str(value)))
    screen().print(table)


def _print_recent(tasks: Iterable[Mapping[str, object]]) -> None:
    table = Table(*(Column(title, overflow="fold") for title in _TITLES))
    for task in tasks:
        status = str(task["status"])
        cells = (task["processing_time_ms"], task["regions_detected"], task["cache_hits"], task["error_type"])
        names = (Text(str(task["task_id"])), Text(str(task["pipeline"])), Text(status, _STYLES.get(status, "")))
        table.add_row(*names, age(task["submitted_at"]), *("" if cell is None else str(cell) for cell in cells))
    screen().print(table)
