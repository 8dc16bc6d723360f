"""Tables of files, models and parity for the terminal."""

from rich.table import Table
from rich.text import Text

from exporters.catalogue import Catalogue
from exporters.export import added_models, model_state
from exporters.fetch import state
from exporters.paths import Paths
from exporters.recipes import RECIPES
from exporters.report import ParityReport
from gateway.cli.terminal import cell
from steps.object_detectors import chosen_detectors

_MEGABYTE = 1e6
_UNBROKEN = 2
"""Columns from the left that no narrow terminal may break: name and state."""
_STYLES = {"ready": "green", "within bar": "green", "missing": "yellow", "stale": "yellow", "within spread": "yellow"}


def files_table(catalogue: Catalogue, paths: Paths) -> Table:
    """Every catalogued file: licence, size, state, how to get it."""
    table = _table("Files", "name", "state", "size", "licence", "from")
    table.caption = "get one: maskwright models fetch NAME"
    for entry in catalogue.file:
        mark = _mark(state(entry, paths.files).value)
        package, *_ = entry.source.archive.split(" (")
        table.add_row(entry.name, mark, _size(entry.bytes), entry.licence, package)
    return table


def models_table(catalogue: Catalogue, paths: Paths) -> Table:
    """Every model: its checkpoint, state, how to build it, and what it looks for where it is the one that does."""
    table = _table("Models", "name", "state", "checkpoint", "looks for")
    table.caption = "build one: maskwright models export NAME; let a detector look: maskwright models use NAME"
    roles = {detector.model: role for role, detector in chosen_detectors(paths.model_repository).items()}
    for recipe in RECIPES:
        mark = _mark(model_state(recipe, catalogue, paths).value)
        table.add_row(recipe.name, mark, "\n".join(recipe.checkpoints), cell(roles.get(recipe.name, "")))
    for name, found in added_models(paths).items():
        table.add_row(cell(name), _mark(found.value), "added", cell(roles.get(name, "")))
    return table


def parity_table(report: ParityReport) -> Table:
    """Each output as used: largest and mean difference to the checkpoint, and how far its own two runs are apart."""
    table = _table(report.model, "output", "largest", "mean", "own spread", "raw", "raw magnitude", "verdict")
    for output in report.outputs:
        gaps = (output.checkpoint.largest, output.checkpoint.mean, output.spread.largest, output.raw.largest)
        numbers = [f"{gap:.1e}" for gap in gaps]
        table.add_row(cell(output.name), *numbers, f"{output.magnitude:.3g}", _mark(output.verdict))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=cell(title), title_justify="left", caption_justify="left", box=None, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place < _UNBROKEN)
    return table


def _mark(word: str) -> Text:
    return Text(word, style=_STYLES.get(word, "red"))


def _size(size: int) -> str:
    return f"{size / _MEGABYTE:.1f} MB" if size >= _MEGABYTE else f"{size / 1e3:.0f} kB"
