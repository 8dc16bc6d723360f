"""`maskwright demo`."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.table import Table

from deploy.demo.page import write_page
from deploy.demo.panels import Panel, make_panel
from deploy.embedded import StackError, launcher
from deploy.embedded.folders import Folders
from exporters.catalogue import DEFAULT_PATHS
from exporters.commands import ProgressBars
from exporters.errors import ExporterError
from exporters.export import export_models
from exporters.fetch import fetch_all
from gateway.background import stopping
from gateway.cli.client import RefusedError, open_client
from gateway.cli.main import shell_settings
from gateway.cli.safe_files import Results
from gateway.cli.terminal import Screen, cell
from gateway.hosts import ProxyError
from gateway.pipelines.registry import PIPELINES, build_registry
from gateway.settings import Settings, SettingsError

PHOTOS = ("astronaut.png", "bus.jpg", "zidane.jpg")
MARGIN_S = 30.0
"""Seconds beyond the time that the gateway gives a request. The gateway itself reports a timeout first."""

_console = Screen()


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures and the page.")] = Path("demo"),
) -> None:
    """Fetch the lite models, run the sample photos through Triton, write a page with the results."""
    try:
        settings = shell_settings()
        _require_every_pipeline(settings)
        photos = _prepare()
        results = Results(out)
        with _stack(settings), _console.status("running the photos"):
            panels = asyncio.run(_run(settings, photos, results))
        page = write_page(panels, results)
    except RefusedError as error:
        _console.print(cell(f"the gateway refused a sample photo: {error}", "red"), soft_wrap=True)
        raise typer.Exit(1) from error
    except (ExporterError, SettingsError, ProxyError, StackError, httpx.HTTPError, OSError) as error:
        _console.print(cell(error, "red"), soft_wrap=True)
        raise typer.Exit(1) from error
    _console.print(_table(panels))
    _console.print(cell(f"look at {page.resolve()}"), soft_wrap=True)


def _require_every_pipeline(settings: Settings) -> None:
    offered = build_registry(settings)
    absent = [entry.name for entry in PIPELINES if entry.name not in offered]
    if absent:
        raise SettingsError(f"PIPELINES lacks {', '.join(absent)}: the demo shows every pipeline, so leave it out")


def _prepare() -> list[Path]:
    with ProgressBars(_console) as bars:
        fetch_all((), listener=bars, paths=DEFAULT_PATHS)
        export_models((), listener=bars, paths=DEFAULT_PATHS)
    return [DEFAULT_PATHS.files / name for name in PHOTOS]


@contextmanager
def _stack(settings: Settings) -> Iterator[None]:
    """A running stack. One that already runs is left as it is. One of our own is stopped at the end."""
    folders = Folders.at(settings.maskwright_home.absolute())
    folders.create()
    if launcher.running(folders) is not None:
        yield
        return
    with stopping() as stop:
        with _console.status("starting the stack") as status:
            started = launcher.start(folders, stop, launcher.ATTACHED, status.update)
        try:
            with stop.interrupting():
                yield
        finally:
            launcher.end(started)


async def _run(settings: Settings, photos: Sequence[Path], results: Results) -> list[Panel]:
    async with open_client(settings.local_url) as client:
        client.timeout = httpx.Timeout(settings.request_timeout_s + MARGIN_S)
        return [await make_panel(client, photo, results) for photo in photos]


def _table(panels: Sequence[Panel]) -> Table:
    table = Table("photo", "size", "people", "masks", "time", "folder", box=None, header_style="bold")
    for panel in panels:
        size = f"{panel.width}×{panel.height}"
        time = f"{panel.milliseconds:.0f} ms"
        table.add_row(*map(cell, (panel.photo, size, panel.people, len(panel.masks), time, panel.folder)))
    return table
