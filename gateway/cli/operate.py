"""`maskwright poison` and `maskwright cache`: what whoever has the scope `operate` looks after."""

from typing import Annotated

import httpx
import typer
from pydantic import TypeAdapter

from gateway.cli.client import accepted, asks_gateway, collect_pages, content_of
from gateway.cli.jobs import print_dead_letters, print_facts, print_kept_results, segment
from gateway.cli.options import Json
from gateway.cli.terminal import print_json, say

_CACHE = "/api/v1/cache"
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
