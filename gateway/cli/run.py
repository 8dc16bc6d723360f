"""`maskwright run PIPELINE PHOTO…`."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.photos import find_photos, plan
from gateway.cli.report import print_summary, progress
from gateway.cli.sender import GatewayAwayError, Sender
from gateway.settings import Settings, SettingsError

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Send photos to a pipeline and save its artifacts.")

Photos = Annotated[list[str], typer.Argument(help="Photos, folders of photos, or patterns.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the artifacts: FOLDER/<photo>/<artifact>.")]
Url = Annotated[str, typer.Option(help="The gateway; this machine's at PORT otherwise.", envvar="MASKWRIGHT_URL")]
InFlight = Annotated[int, typer.Option("--in-flight", "-j", min=1, max=64, help="Photos sent at the same time.")]


@app.callback()
def pipelines() -> None:
    """Send photos to a pipeline and save its artifacts."""


@app.command("body_masks")
def body_masks(  # noqa: PLR0913, PLR0917 one option for each parameter of the pipeline
    photos: Photos,
    output: Output,
    mask_types: Annotated[str, typer.Option(help="Comma-separated; all seven otherwise.")] = "",
    gender: Annotated[str, typer.Option(help="M or F; anything else takes the female radii.")] = "",
    style: Annotated[str, typer.Option(help="garment or labels.")] = "",
    frame: Annotated[str, typer.Option(help="source or canvas.")] = "",
    person: Annotated[str, typer.Option(help="largest, all or single.")] = "",
    include: Annotated[str, typer.Option(help="label_map, keypoints, overlay; comma-separated.")] = "",
    url: Url = "",
    in_flight: InFlight = 4,
) -> None:
    """One PNG for each mask type."""
    given = {"mask_types": mask_types, "gender": gender, "style": style, "frame": frame, "person": person}
    parameters = {name: value for name, value in {**given, "include": include}.items() if value}
    _run(Sender(_base_url(url), "body_masks", parameters), photos, output, in_flight)


def _base_url(url: str) -> str:
    if url:
        return url if "://" in url else f"http://{url}"
    try:
        return Settings.from_environment().local_url
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _run(sender: Sender, names: list[str], output: Path, in_flight: int) -> None:
    photos = plan(find_photos(names), output)
    if not photos:
        typer.echo("No photos there.", err=True)
        raise typer.Exit(1)
    try:
        with progress(len(photos)) as advance:
            outcomes = asyncio.run(sender.send_all(photos, in_flight, advance))
    except GatewayAwayError as error:
        typer.echo(f"No gateway answers at {sender.url}; start it with `maskwright up`.", err=True)
        raise typer.Exit(1) from error
    print_summary(outcomes)
    if any(outcome.code for outcome in outcomes):
        raise typer.Exit(1)
