"""`maskwright submit PHOTO|URL…`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import httpx
import typer

from gateway.cli.board import Board, print_submitted, print_submitted_json
from gateway.cli.client import Gateway, converse
from gateway.cli.folders import Finder, harmless, tell
from gateway.cli.options import (
    Fields,
    Frame,
    Gender,
    Include,
    InFlight,
    Json,
    MaskTypes,
    Person,
    PlainHttp,
    Recursive,
    Style,
    Url,
    fields_of,
    given,
)
from gateway.cli.photos import Layout
from gateway.cli.sources import Source, find_sources
from gateway.cli.submitter import Submitted, Submitter, for_each
from gateway.cli.terminal import complain


def submit(  # noqa: PLR0913, PLR0917 one option for each field of a job
    photos: Annotated[list[str], typer.Argument(help="Photos, folders of photos, patterns, http(s) and s3 addresses.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the artifacts, as of `maskwright run`.")
    ] = None,
    pipeline: Annotated[str, typer.Option(help="What to run.")] = "body_masks",
    mask_types: MaskTypes = "",
    gender: Gender = "",
    style: Style = "",
    frame: Frame = "",
    person: Person = "",
    include: Include = "",
    field: Fields = None,
    user_id: Annotated[str, typer.Option(help="Whose jobs they are; one user's run in their order.")] = "",
    request_id: Annotated[str, typer.Option(help="Names the request; for one photo alone.")] = "",
    callback_url: Annotated[str, typer.Option(help="Told of each outcome by a signed POST.")] = "",
    priority: Annotated[int, typer.Option(min=-10, max=10, help="Higher runs earlier.")] = 0,
    wait: Annotated[bool, typer.Option("--wait/--detach", help="Wait for the outcomes, or only queue.")] = True,  # noqa: FBT002 typer makes a flag of it
    recursive: Recursive = False,  # noqa: FBT002 typer makes a flag of it
    url: Url = "",
    plain_http: PlainHttp = False,  # noqa: FBT002 typer makes a flag of it
    in_flight: InFlight = 16,
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Queue photos as jobs and wait for their artifacts; exit 1 where one failed."""
    layout = Layout.MIRROR if pipeline == "privacy_blur" else Layout.FOLDERS
    sources, skipped = find_sources(photos, Finder(recursive=recursive, results=output), output, layout)
    tell(skipped)
    _check(sources, request_id)
    named = given(
        pipeline=pipeline, mask_types=mask_types, gender=gender, style=style, frame=frame, person=person,
        include=include, user_id=user_id, request_id=request_id, callback_url=callback_url,
        priority=str(priority) if priority else "",
    )  # fmt: skip
    fields = {**named, **fields_of(field)}

    async def work(client: httpx.AsyncClient) -> list[Submitted]:
        submitter = Submitter(client, fields, board.note)
        return await for_each(sources, in_flight, submitter.complete if wait else submitter.submit, board.done)

    with Board(len(sources)) as board:
        submitted = converse(Gateway(url, plain_http), work)
    (print_submitted_json if as_json else print_submitted)(submitted)
    if any(one.code for one in submitted):
        raise typer.Exit(1)


def _check(sources: Sequence[Source], request_id: str) -> None:
    if not sources:
        complain("No photos there.")
        raise typer.Exit(1)
    if request_id and len(sources) > 1:
        complain("--request-id names one request, and there are several photos.")
        raise typer.Exit(2)
    harmless([one.photo for one in sources if one.photo is not None and one.location_kind is None])
