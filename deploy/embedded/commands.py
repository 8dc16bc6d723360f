"""`maskwright up | down | status | logs`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded import launcher
from deploy.embedded.errors import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.logs import follow, last_lines
from deploy.embedded.state import StackState
from gateway.settings import Settings, SettingsError

_COLOURS = {"ready": "green", "failed": "red", "stopped": "dim"}
_USAGE = 2

_console = Console()
_errors = Console(stderr=True, style="red", highlight=False)


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and come back.")] = False,  # noqa: FBT002
) -> None:
    """Start Triton and the gateway, watch them, stop them on Ctrl-C."""
    settings = _settings()
    folders = _folders()
    folders.create()
    if (state := launcher.running(folders)) is not None:
        _console.print(f"already running (process {state.pid})")
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with _told(), _console.status("starting Triton and the gateway"):
            started = launcher.start(folders)
        _console.print(_table(_state(folders)))
        _console.print(_next_steps(settings), highlight=False, soft_wrap=True)
        if not detach:
            _console.print("Ctrl-C stops it.")
            raise typer.Exit(started.wait())
    except KeyboardInterrupt:
        _console.print("stopping")
        if (state := launcher.running(folders)) is not None:
            with _told():
                launcher.stop(state)


def down() -> None:
    """Stop the running stack."""
    folders = _folders()
    state = launcher.running(folders)
    if state is None:
        _console.print("nothing is running")
        return
    with _told():
        launcher.stop(state)
    _console.print("stopped")


def status() -> None:
    """Show each service: its state, process, ports and restarts. Exit status 1 where the stack is not ready."""
    folders = _folders()
    if launcher.running(folders) is None:
        _console.print("nothing is running; start it with `maskwright up`")
        raise typer.Exit(1)
    state = _state(folders)
    _console.print(_table(state))
    if any(service.state != "ready" for service in state.services.values()):
        raise typer.Exit(1)


def logs(
    service: Annotated[str, typer.Argument(help="triton, gateway or launcher; all where not given.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines from the end of each log.")] = 40,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Show new lines as they come.")] = False,  # noqa: FBT002
) -> None:
    """Show what the services wrote."""
    folders = _folders()
    files = {path.stem: path for path in sorted(folders.logs.glob("*.log"))}
    if service and service not in files:
        _errors.print(f"no log of {service!r}; there is: {', '.join(files) or 'none yet'}")
        raise typer.Exit(_USAGE)
    chosen = [files[service]] if service else list(files.values())
    for path in chosen:
        for line in last_lines(path, lines):
            _print_line(path, line)
    if following:
        for path, line in follow(chosen):
            _print_line(path, line)


@contextmanager
def _told() -> Iterator[None]:
    """End the command with the message of a StackError."""
    try:
        yield
    except StackError as error:
        _errors.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(1) from error


def _settings() -> Settings:
    try:
        return Settings.from_environment()
    except SettingsError as error:
        _errors.print(str(error), markup=False)
        raise typer.Exit(_USAGE) from error


def _folders() -> Folders:
    return Folders(_settings().maskwright_home.resolve())


def _state(folders: Folders) -> StackState:
    state = StackState.read(folders.state)
    return state if state is not None else StackState(0, "stopped")


def _table(state: StackState) -> Table:
    table = Table("service", "state", "process", "ports", "restarts", box=None, header_style="bold")
    for service in state.services.values():
        colour = _COLOURS.get(service.state, "yellow")
        ports = ", ".join(map(str, service.ports.values()))
        table.add_row(
            service.name, f"[{colour}]{service.state}[/]", str(service.pid or "–"), ports, str(service.restarts)
        )
    return table


def _next_steps(settings: Settings) -> str:
    url = settings.local_url
    return (
        "\nnow try:\n"
        "  .venv/bin/maskwright run body_masks PHOTO.jpg -o masks\n"
        f"  curl -F image=@PHOTO.jpg -F mask_types=upper_body {url}/v1/run/body_masks -o mask.png\n"
        f"and see {url}/docs for the API, `.venv/bin/maskwright status`, `logs` and `down`\n"
    )


def _print_line(path: Path, line: str) -> None:
    _console.print(f"[cyan]{path.stem:>8}[/] ", end="", highlight=False)
    _console.print(line, markup=False, highlight=False, soft_wrap=True)
