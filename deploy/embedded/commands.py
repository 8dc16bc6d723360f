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
from rich.console import Group
from rich.live import Live
from rich.table import Table

from deploy.embedded import StackError, launcher
from deploy.embedded.folders import Folders, StackState
from deploy.embedded.hardware import lowered_limits
from deploy.embedded.logs import follow, last_lines
from gateway.access.authentication import check_binding
from gateway.background import stopping
from gateway.cli.terminal import Screen, cell
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings, SettingsError
from gateway.settings.environment import read_environment
from gateway.settings.sources import KeptError, KeptSettings, named_home, resolve
from gateway.untrusted_text import shown

_KEY = (
    "callers need a key; make one, and let the commands below send it:\n"
    '  export MASKWRIGHT_TOKEN="$(.venv/bin/maskwright keys create NAME --scope "run:*" --scope "jobs:*")"\n\n'
)
_STATE_COLOURS = {"ready": "green", "failed": "red", "stopped": "dim", "waiting": "dim"}
_USAGE = 2
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m")
"""What a service writes if it was told to colour its lines (FORCE_COLOR)."""
_REFRESH_S = 0.5
_console = Screen()
_errors = Screen(stderr=True, style="red")


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running and come back.")] = False,  # noqa: FBT002
) -> None:
    """Start every server that no setting names, the gateway and the workers. Watch them, and stop them on Ctrl-C."""
    folders = _folders()
    with _exit_on_errors():
        if (state := launcher.running(folders)) is not None:
            _print_already_running(state)
            return
        settings = Settings.from_environment()
        build_registry(settings)  # so that a bad PIPELINES is told before anything starts
        check_binding(settings)
        folders.create()
        for remark in read_environment(Settings.model_fields).remarks:
            _errors.print(remark, soft_wrap=True, style="yellow")
        if limits := lowered_limits(settings):
            _console.print(limits, style="yellow", soft_wrap=True)
        _run(folders, settings, detach=detach)


def _run(folders: Folders, settings: Settings, *, detach: bool) -> None:
    """Start the launcher. Unless it is left running, wait for its end or a stop signal. Raises StackError."""
    with stopping() as stop:
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
    """Stop the running stack. If none runs, clean up what a killed one left."""
    folders = _folders()
    with _exit_on_errors():
        if (state := launcher.running(folders)) is None:
            launcher.clear_away(folders)
            _console.print("nothing is running")
        else:
            launcher.stop(folders, state)
            _console.print("stopped")


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it, until Ctrl-C.")] = False,  # noqa: FBT002
) -> None:
    """Show each service: its state, process, ports and restarts. Exit status 1 if the stack is not ready."""
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

    This is for psql, kcat and curl. The other commands find them by themselves in any shell.
    """
    folders = _folders()
    _running(folders)
    with _exit_on_errors():
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


def next_steps(settings: Settings) -> str:
    """Commands to try for the offered pipelines, with the key that callers need."""
    url, pipelines = settings.local_url, list(build_registry(settings))
    asks = settings.access == "required"
    header = '-H "Authorization: Bearer $MASKWRIGHT_TOKEN" ' if asks else ""
    runs = (f"  .venv/bin/maskwright run {name} PHOTO.jpg -o {name}\n" for name in pipelines)
    return (
        f"\n{_KEY if asks else ''}now try:\n"
        f"{''.join(runs)}"
        f"  curl {header}-F image=@PHOTO.jpg {url}/v1/run/{pipelines[0]} -o answer\n"
        '  eval "$(.venv/bin/maskwright env)"  # ports and addresses, for psql, kcat and curl\n'
        f"and see {url}/docs for the API, `.venv/bin/maskwright status --watch`, `logs` and `down`\n"
    )


def service_table(state: StackState) -> Group:
    """One row per service. Below the rows, what does not work although the service runs."""
    table = Table("service", "state", "process", "ports", "restarts", box=None, header_style="bold")
    for service in state.services.values():
        colour = _STATE_COLOURS.get(service.state, "yellow")
        ports = ", ".join(map(str, service.ports.values()))
        words = ": ".join(filter(None, (service.state, service.doing)))
        facts = (service.pid or "–", ports, service.restarts)
        table.add_row(cell(service.name), cell(words, colour), *map(cell, facts))
    notes = [f"{service.name}: {note}" for service in state.services.values() for note in service.notes]
    return Group(table, *(cell(note, "yellow") for note in notes))


def _print_already_running(state: StackState) -> None:
    _console.print(f"already running (process {state.pid})")
    for line in resolve().conflicts:
        _errors.print(f"{line} in the commands; for the stack, `maskwright down` first", soft_wrap=True)


def _running(folders: Folders) -> StackState:
    """The running stack's state. Ends the command if no stack runs."""
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
def _exit_on_errors() -> Iterator[None]:
    """End the command with the message of a StackError, of a bad setting, or of an invalid file."""
    try:
        yield
    except (StackError, SettingsError, OSError) as error:
        _errors.print(*map(shown, str(error).split("\n")), sep="\n", soft_wrap=True)
        raise typer.Exit(_USAGE if isinstance(error, SettingsError) else 1) from error


def _folders() -> Folders:
    """This needs only one setting: a stack can be stopped whatever else is wrong in this shell."""
    with _exit_on_errors():
        folders = Folders.at(named_home())
        folders.require_ours()
        return folders


def _kept(folders: Folders) -> KeptSettings:
    """The settings with which the running stack was started. Raises StackError."""
    try:
        if (kept := KeptSettings.read(folders.home)) is not None:
            return kept
    except KeptError as error:
        raise StackError(str(error)) from error
    raise StackError(f"the stack in {folders.home} says nothing of its settings; stop it and start it again")


def _state(folders: Folders) -> StackState:
    state = StackState.read(folders.state)
    return state if state is not None else StackState(0, "stopped")


def _print_line(path: Path, line: str) -> None:
    _console.print(
        cell(f"{path.stem:>8} ", "cyan"), cell(_COLOUR_CODES.sub("", line.expandtabs())), sep="", soft_wrap=True
    )
