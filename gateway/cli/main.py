"""The console script `maskwright`: all commands, each imported only when it is used; and a command's settings."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.main import get_command

from gateway import __version__
from gateway.cli.terminal import complain, escape_unknown_letters
from gateway.hosts import ProxyError
from gateway.settings import Settings, SettingsError, variable_names
from gateway.settings.sources import resolve


def settings() -> None:
    """Print every environment variable, its default and what it does, as a Markdown table."""
    typer.echo("\n".join(settings_table()))


def settings_table() -> Iterator[str]:
    """Lines of the table, in the order of the class."""
    yield "| variable | default | what it does |"
    yield "| --- | --- | --- |"
    for name, field in Settings.model_fields.items():
        variables = ", ".join(f"`{variable}`" for variable in variable_names(name, field))
        yield f"| {variables} | {_default(field)} | {field.description} |"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "derived"
    default = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    if default in (None, "", ()):
        return "not set"
    if isinstance(field.default, tuple):
        return f"`{','.join(map(str, field.default))}`"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def shell_settings() -> Settings:
    """The settings from this shell's variables, then from the running stack. Conflicts are written to standard error.

    Raises SettingsError.
    """
    resolved = resolve()
    for line in resolved.conflicts:
        complain(line)
    return resolved.settings


@contextmanager
def exit_on_bad_settings() -> Iterator[None]:
    """Complain of wrong settings, and raise typer.Exit(2)."""
    try:
        yield
    except (SettingsError, ProxyError) as error:
        complain(*str(error).split("\n"))
        raise typer.Exit(2) from error


@dataclass(frozen=True)
class LazyCommand:
    """A command, or a typer application with several, at `module:attribute`."""

    name: str
    target: str
    help: str

    def load(self) -> typer.Typer:
        """Import it. Raises ImportError, AttributeError."""
        module, attribute = self.target.split(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            return found
        single = typer.Typer(add_completion=False)
        single.command(self.name)(found)
        return single


COMMANDS = (
    LazyCommand("run", "gateway.cli.run:app", "Send photos to a pipeline and save its artifacts."),
    LazyCommand("submit", "gateway.cli.submit:submit", "Queue photos as jobs, and wait for their masks."),
    LazyCommand("jobs", "gateway.cli.jobs:app", "List, show, watch, cancel and delete jobs."),
    LazyCommand("poison", "gateway.cli.poison_and_cache:poison", "Look at what was given up; try again, or forget it."),
    LazyCommand("cache", "gateway.cli.poison_and_cache:cache", "Look at the results that are kept; make room."),
    LazyCommand("keys", "gateway.cli.keys_and_database:keys", "Make, list and revoke API keys."),
    LazyCommand("audit", "gateway.cli.keys_and_database:audit", "Show who did what to which job."),
    LazyCommand("serve", "gateway.cli.main:serve", "Run the gateway alone, in the foreground."),
    LazyCommand("worker", "gateway.cli.main:worker", "Work on jobs, in the foreground."),
    LazyCommand("migrate", "gateway.cli.keys_and_database:migrate", "Bring the database to this version's tables."),
    LazyCommand("up", "deploy.embedded.commands:up", "Start the whole stack on this machine."),
    LazyCommand("down", "deploy.embedded.commands:down", "Stop what `up` started."),
    LazyCommand("status", "deploy.embedded.commands:status", "Show what runs."),
    LazyCommand("logs", "deploy.embedded.commands:logs", "Show the logs of what runs."),
    LazyCommand("env", "deploy.embedded.commands:env", "Print the addresses of what runs, for a shell."),
    LazyCommand("doctor", "deploy.machine.doctor:doctor", "Say what can and cannot work on this machine."),
    LazyCommand("settings", "gateway.cli.main:settings", "Show every environment variable and its default."),
    LazyCommand("demo", "deploy.demo.commands:demo", "Run the sample photos and write a page with the results."),
    LazyCommand("models", "exporters.commands:app", "Fetch, export and check the models."),
)

app = typer.Typer(
    name="maskwright",
    help="Body masks, face contours and blurred copies from photos, with models on NVIDIA Triton.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 the form that typer calls back with
    if wanted:
        typer.echo(f"maskwright {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Body masks, face contours and blurred copies from photos, with models on NVIDIA Triton."""


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; API_HOST otherwise.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; API_PORT otherwise.", min=1, max=65535)] = None,
) -> None:
    """Run the gateway alone, in the foreground; Triton must run elsewhere (TRITON_GRPC_URL)."""
    from gateway.server import serve as serve_forever  # noqa: PLC0415 other commands need no server

    given = {name: value for name, value in (("api_host", host), ("api_port", port)) if value is not None}
    with exit_on_bad_settings():
        serve_forever(Settings.from_environment().model_copy(update=given))


def worker() -> None:
    """Work on jobs in the foreground; PostgreSQL, S3 and Triton must run elsewhere."""
    from gateway.worker.worker import main  # noqa: PLC0415 other commands need no worker

    main()


def _delegate(command: LazyCommand) -> Callable[[typer.Context], None]:
    def run(context: typer.Context) -> None:
        escape_unknown_letters()
        try:
            loaded = command.load()
        except ImportError as error:
            complain(f"`maskwright {command.name}` cannot run: {error}")
            raise typer.Exit(1) from error
        get_command(loaded)(context.args, prog_name=context.command_path)

    return run


for entry in COMMANDS:
    app.command(
        entry.name,
        help=entry.help,
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(_delegate(entry))
