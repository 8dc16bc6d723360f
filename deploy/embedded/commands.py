"""`maskwright up | down | status | logs | env`."""

import contextlib
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live

from deploy.embedded import launcher
from deploy.embedded.errors import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.leftovers import clear_away
from deploy.embedded.logs import follow, last_lines
from deploy.embedded.next_steps import next_steps
from deploy.embedded.shared_memory import SHARED_MEMORY, lowered, with_room
from deploy.embedded.state import StackState
from deploy.embedded.table import service_table
from gateway.access.binding import check_binding
from gateway.printable import shown
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import read_environment
from gateway.settings.files import Kept, KeptError
from gateway.settings.origins import named_home, resolve
from gateway.stopping import stopping
from gateway.terminal import Screen, cell

_USAGE = 2
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
"""What a service writes that was told to colour its lines (FORCE_COLOR)."""
_REFRESH_S = 0.5

_console = Screen()
_errors = Screen(stderr=True, style="red")


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and come back.")] = False,  # noqa: FBT002
) -> None:
    """Start every server that no setting names, the gateway and the workers; watch them, stop them on Ctrl-C."""
    folders = _folders()
    if (state := launcher.running(folders)) is not None:
        _already(state)
        return
    settings = _settings()
    with _usable():
        check_binding(settings)
    with _told():
        folders.create()
    for remark in read_environment(Settings.model_fields).remarks:
        _errors.print(remark, soft_wrap=True, style="yellow")
    with _told():
        _tell_limits(settings)
    with stopping() as stop, _told():
        with _console.status("starting the stack") as status:
            command = launcher.DETACHED if detach else launcher.ATTACHED
            started = launcher.start(folders, stop, command, status.update)
        if not stop.told:
            _console.print(service_table(_state(folders)))
            _console.print(next_steps(settings), soft_wrap=True)
        if not detach and not stop.told:
            _console.print("Ctrl-C stops it.")
            ended = launcher.wait(started, stop)
            if ended is not None:
                raise typer.Exit(ended)
        if stop.told:
            _console.print("stopping")
            launcher.end(started)


def down() -> None:
    """Stop the running stack; where none runs, clear away what a killed one left."""
    folders = _folders()
    state = launcher.running(folders)
    if state is None:
        with _told():
            clear_away(folders)
        _console.print("nothing is running")
        return
    with _told():
        launcher.stop(folders, state)
    _console.print("stopped")


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it, until Ctrl-C.")] = False,  # noqa: FBT002
) -> None:
    """Show each service: its state, process, ports and restarts. Exit status 1 where the stack is not ready."""
    folders = _folders()
    if watch:
        _watch(folders)
        return
    state = _running(folders)
    _console.print(service_table(state))
    if any(service.state != "ready" for service in state.services.values()):
        raise typer.Exit(1)


def env() -> None:
    """Print the running stack's ports and addresses for a shell: eval "$(maskwright env)".

    For psql, kcat and curl: the other commands find them by themselves, whatever shell the stack was started from.
    """
    folders = _folders()
    _running(folders)
    with _told():
        kept = _kept(folders)
    for name, value in kept.running.items():
        if not (_VARIABLE.fullmatch(name) and value.isprintable()):
            raise typer.BadParameter(f"{name!r} in what the stack keeps is no variable with a printable value")
        typer.echo(f"export {name}={shlex.quote(value)}")


def logs(
    service: Annotated[
        str, typer.Argument(help="A service that `status` names, or launcher; all where not given.")
    ] = "",
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


def _already(state: StackState) -> None:
    _console.print(f"already running (process {state.pid})")
    with _usable():
        for line in resolve().conflicts:
            _errors.print(f"{line} in the commands; for the stack, `maskwright down` first", soft_wrap=True)


def _tell_limits(settings: Settings) -> None:
    """Say where the machine's shared memory sets lower limits than the settings. Raises StackError."""
    if limits := lowered(settings, with_room(settings)):
        said = ", ".join(f"{name}={value}" for name, value in limits.items())
        _console.print(f"{SHARED_MEMORY} is small, so the stack runs with {said}", style="yellow", soft_wrap=True)


def _running(folders: Folders) -> StackState:
    """The running stack's state; ends the command where there is none."""
    if launcher.running(folders) is None:
        _errors.print(f"nothing is running in {folders.home}; start it with `maskwright up`", soft_wrap=True)
        raise typer.Exit(1)
    return _state(folders)


def _watch(folders: Folders) -> None:
    with contextlib.suppress(KeyboardInterrupt), Live(console=_console, auto_refresh=False) as live:
        while True:
            runs = launcher.running(folders) is not None
            live.update(service_table(_state(folders)) if runs else "nothing is running", refresh=True)
            time.sleep(_REFRESH_S)


@contextmanager
def _told() -> Iterator[None]:
    """End the command with the message of a StackError, or of a file that is not what it should be."""
    try:
        yield
    except (StackError, OSError) as error:
        _errors.print(*map(shown, str(error).split("\n")), sep="\n", soft_wrap=True)
        raise typer.Exit(1) from error


def _settings() -> Settings:
    with _usable():
        return Settings.from_environment()


@contextmanager
def _usable() -> Iterator[None]:
    """End the command with the message of a SettingsError."""
    try:
        yield
    except SettingsError as error:
        _errors.print(*map(shown, str(error).split("\n")), sep="\n", soft_wrap=True)
        raise typer.Exit(_USAGE) from error


def _folders() -> Folders:
    """This needs no setting but one: a stack is stopped whatever else is wrong in this shell."""
    with _told():
        folders = Folders.at(named_home())
        folders.require_ours()
        return folders


def _kept(folders: Folders) -> Kept:
    """What the running stack was started with. Raises StackError."""
    try:
        if (kept := Kept.read(folders.home)) is not None:
            return kept
    except KeptError as error:
        raise StackError(str(error)) from error
    raise StackError(f"the stack in {folders.home} says nothing of its settings; stop it and start it again")


def _state(folders: Folders) -> StackState:
    state = StackState.read(folders.state)
    return state if state is not None else StackState(0, "stopped")


def _print_line(path: Path, line: str) -> None:
    _console.print(cell(f"{path.stem:>8} ", "cyan"), cell(_COLOURS.sub("", line.expandtabs())), sep="", soft_wrap=True)
