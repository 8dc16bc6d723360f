"""`maskwright up | down | status | logs`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.folders import CHECKOUT, Folders
from deploy.embedded.logs import follow, last_lines
from deploy.embedded.state import StackState
from gateway.settings import Settings, SettingsError

START_TIMEOUT = 180.0
STOP_TIMEOUT = 60.0
POLL_INTERVAL = 0.1
_COLOURS = {"ready": "green", "failed": "red", "stopped": "dim"}

_console = Console()
_errors = Console(stderr=True, style="red", highlight=False)


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and come back.")] = False,  # noqa: FBT002
) -> None:
    """Start Triton and the gateway, watch them, stop them on Ctrl-C."""
    settings, folders = _configuration()
    if (running := _running(folders)) is not None:
        _console.print(f"already running (process {running.pid})")
        return
    launcher = subprocess.Popen(  # the launcher outlives this command when detached
        [sys.executable, "-m", "deploy.embedded"],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=folders.log("launcher").open("ab"),
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        _await_ready(launcher, folders)
        _console.print(_table(_known(folders)))
        _console.print(_next_steps(settings), highlight=False)
        if not detach:
            _console.print("Ctrl-C stops it.")
            raise typer.Exit(launcher.wait())
    except KeyboardInterrupt:
        launcher.send_signal(signal.SIGTERM)
        _console.print("stopping")
        raise typer.Exit(launcher.wait()) from None


def down() -> None:
    """Stop the running stack."""
    _, folders = _configuration()
    state = _running(folders)
    if state is None:
        _console.print("nothing is running")
        return
    os.kill(state.pid, signal.SIGTERM)
    if not _poll(lambda: not state.is_alive(), STOP_TIMEOUT):
        _errors.print(f"process {state.pid} is still stopping after {STOP_TIMEOUT:.0f} s; see `maskwright logs launcher`")
        raise typer.Exit(1)
    _console.print("stopped")


def status() -> None:
    """Show each service: its state, process, ports and restarts. Exit status 1 where the stack is not ready."""
    _, folders = _configuration()
    state = _running(folders)
    if state is None:
        _console.print("nothing is running; start it with `maskwright up`")
        raise typer.Exit(1)
    _console.print(_table(state))
    if state.state != "ready":
        raise typer.Exit(1)


def logs(
    service: Annotated[str, typer.Argument(help="triton, gateway or launcher; all where not given.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines from the end of each log.")] = 40,
    following: Annotated[bool, typer.Option("--follow", "-f", help="Show new lines as they come.")] = False,  # noqa: FBT002
) -> None:
    """Show what the services wrote."""
    _, folders = _configuration()
    files = {path.stem: path for path in sorted(folders.logs.glob("*.log"))}
    if service and service not in files:
        _errors.print(f"no log of {service!r}; there is: {', '.join(files) or 'none yet'}")
        raise typer.Exit(2)
    chosen = [files[service]] if service else list(files.values())
    for path in chosen:
        _print_lines(path, last_lines(path, lines))
    if following:
        for path, line in follow(chosen):
            _print_lines(path, [line])


def _configuration() -> tuple[Settings, Folders]:
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        _errors.print(str(error))
        raise typer.Exit(2) from error
    folders = Folders(settings.maskwright_home.resolve())
    folders.create()
    return settings, folders


def _running(folders: Folders) -> StackState | None:
    state = StackState.read(folders.state)
    return state if state is not None and state.is_alive() else None


def _known(folders: Folders) -> StackState:
    state = StackState.read(folders.state)
    return state if state is not None else StackState(0, "stopped")


def _await_ready(launcher: "subprocess.Popen[bytes]", folders: Folders) -> None:
    def settled() -> bool:
        state = _known(folders)
        return launcher.poll() is not None or (state.pid == launcher.pid and state.state == "ready")

    with _console.status("starting Triton and the gateway"):
        in_time = _poll(settled, START_TIMEOUT)
    if launcher.poll() is not None:
        _errors.print("\n".join(_failure(launcher.pid, folders)))
        raise typer.Exit(1)
    if not in_time:
        launcher.send_signal(signal.SIGTERM)
        _errors.print(f"not ready after {START_TIMEOUT:.0f} s; see `maskwright logs`")
        raise typer.Exit(1)


def _failure(pid: int, folders: Folders) -> list[str]:
    state = _known(folders)
    if state.pid == pid and state.message:
        return [state.message]
    return last_lines(folders.log("launcher"), 10)


def _poll(condition: Callable[[], bool], timeout: float) -> bool:
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_INTERVAL)
    return True


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
    url = f"http://127.0.0.1:{settings.api_port}"
    return (
        "\nnow try:\n"
        "  .venv/bin/maskwright run body_masks PHOTO.jpg -o masks\n"
        f"  curl -F image=@PHOTO.jpg -F mask_types=upper_body {url}/v1/run/body_masks -o mask.png\n"
        f"  {url}/docs   the API     .venv/bin/maskwright status   .venv/bin/maskwright down\n"
    )


def _print_lines(path: Path, lines: list[str]) -> None:
    for line in lines:
        _console.print(f"[cyan]{path.stem:>8}[/] ", end="", highlight=False)
        _console.print(line, markup=False, highlight=False, soft_wrap=True)
