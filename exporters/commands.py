"""The commands `maskwright models …`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from exporters import recipes
from exporters.catalogue import load
from exporters.errors import ExporterError, UnknownNameError
from exporters.export import ModelState, export_models, model_state
from exporters.fetch import State, fetch_all, state
from exporters.paths import DEFAULT_PATHS
from exporters.progress import ProgressBars
from exporters.tables import files_table, models_table, parity_table

app = typer.Typer(help="Fetch checkpoints and build the models from them.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(help="Names; without any, what the pipelines and the demo use.")]

_EXIT_FAILED = 1
_EXIT_USAGE = 2


@app.command("list")
def list_() -> None:
    """Show every file and model: licence, size, state, and how to get it."""
    console = Console()
    with _reported():
        catalogue = load(DEFAULT_PATHS.catalogue)
        console.print(files_table(catalogue, DEFAULT_PATHS))
        console.print(models_table(catalogue, DEFAULT_PATHS))


@app.command()
def fetch(names: Names = None) -> None:
    """Fetch files of the catalogue that are not here yet."""
    console = Console()
    with _reported(), ProgressBars(console) as bars:
        files = fetch_all(names or (), listener=bars, paths=DEFAULT_PATHS)
    console.print(f"{len(files)} files ready in {DEFAULT_PATHS.files}", soft_wrap=True)


@app.command()
def export(names: Names = None) -> None:
    """Build models, fetching what they need, and hold them against their checkpoints."""
    console = Console()
    with _reported(), ProgressBars(console) as bars:
        reports = export_models(names or (), listener=bars, paths=DEFAULT_PATHS)
    for report in reports:
        console.print(parity_table(report))


@app.command()
def verify(names: Names = None) -> None:
    """Check fetched files against the catalogue and models against their parity reports; exit 1 if any is not right."""
    console = Console()
    with _reported():
        wrong = _wrong(names or [])
    for line in wrong:
        console.print(line, style="red", soft_wrap=True)
    if wrong:
        raise typer.Exit(_EXIT_FAILED)
    console.print("all files and models are as they should be")


def _wrong(names: list[str]) -> list[str]:
    """One line for each chosen file or model that is not ready; names are those of files and of models."""
    catalogue = load(DEFAULT_PATHS.catalogue)
    models = {recipe.name for recipe in recipes.RECIPES}
    unknown = [name for name in names if name not in models and name not in catalogue.names]
    if unknown:
        raise UnknownNameError(unknown, [*catalogue.names, *sorted(models)])
    entries = [entry for entry in catalogue.file if entry.name in names] if names else catalogue.select([])
    chosen = [each for each in recipes.RECIPES if each.name in names] if names else recipes.select([], catalogue)
    files = {entry.name: state(entry, DEFAULT_PATHS.files) for entry in entries}
    built = {recipe.name: model_state(recipe, catalogue, DEFAULT_PATHS) for recipe in chosen}
    return [f"{name}: {each.value}" for name, each in files.items() if each is not State.READY] + [
        f"{name}: {each.value}" for name, each in built.items() if each is not ModelState.READY
    ]


@contextmanager
def _reported() -> Iterator[None]:
    """Tell the user about an error in one sentence; exit 2 for a wrong name, else 1."""
    try:
        yield
    except ExporterError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise typer.Exit(_EXIT_USAGE if isinstance(error, UnknownNameError) else _EXIT_FAILED) from error
