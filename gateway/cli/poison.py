"""`maskwright poison list|replay|drop`."""

from typing import Annotated

import httpx
import typer

from gateway.cli.client import Gateway, accepted, converse
from gateway.cli.options import Json, PlainHttp, Url
from gateway.cli.pages import collect
from gateway.cli.tables import print_poison
from gateway.cli.terminal import print_json, say
from gateway.cli.watching import segment

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Look at what was given up; try again, or forget it."
)

Entries = Annotated[list[str], typer.Argument(metavar="ENTRY…", help="Numbers of entries.")]


@app.command("list")
def list_entries(
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Open entries, the newest first."""
    entries = converse(Gateway(url, plain_http), lambda client: collect(client, "/v1/poison", "entries", {}, limit))
    (print_json if as_json else print_poison)(entries)


@app.command()
def replay(
    entries: Entries,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Work on entries again."""

    async def again(client: httpx.AsyncClient) -> None:
        for entry in entries:
            accepted(await client.post(f"{_path(entry)}/replay"))
            say(f"{entry} replayed")

    converse(Gateway(url, plain_http), again)


@app.command()
def drop(
    entries: Entries,
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Forget entries."""

    async def forget(client: httpx.AsyncClient) -> None:
        for entry in entries:
            accepted(await client.delete(_path(entry)))
            say(f"{entry} dropped")

    converse(Gateway(url, plain_http), forget)


def _path(entry: str) -> str:
    return f"/v1/poison/{segment(entry)}"
