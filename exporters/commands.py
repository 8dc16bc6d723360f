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
from exporters.choice import WHEN_IT_SERVES, use_model
from exporters.detectors.adding import ROLES, Addition, add_detector
from exporters.detectors.output_formats import FORMS
from exporters.downloads import Listener
from exporters.errors import ExporterError, UnknownNameError
from exporters.export import ModelState, added_models, export_models, model_state
from exporters.fetch import State, fetch_all, selectable, state, unobtainable
from exporters.forms.making import Wish, make_form
from exporters.forms.precision import Precision
from exporters.forms.report import FormReport
from exporters.forms.states import form_states
from exporters.networks.adding import add_network, when_it_serves
from exporters.networks.known import Kind
from exporters.parity import ParityReport
from exporters.recipes import RECIPES, select
from exporters.repository import half_built
from exporters.tensorrt.plans import REPOSITORY, build_plans, faulty_plans, plan_orders
from exporters.tensorrt.trtexec import Trtexec, found_program
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
def export(
    names: Names = None,
    *,
    tensorrt: Annotated[bool, typer.Option("--tensorrt", help="Plans of TensorRT, on the GPU that runs them.")] = False,
) -> None:
    """Build models, fetch what they need, and compare them with their checkpoints."""
    console = Screen()
    if tensorrt:
        _export_plans(names or [], console)
        return
    with _reported(), ProgressBars(console) as bars:
        reports = export_models(names or (), listener=bars, paths=DEFAULT_PATHS)
    for report in reports:
        console.print(parity_table(report))
    _tell_unobtainable(console)


def _export_plans(names: list[str], console: Screen) -> None:
    with _reported(), ProgressBars(console) as bars:
        orders = plan_orders(names, DEFAULT_PATHS)
        trtexec = Trtexec(found_program())

        def told(line: str) -> None:
            console.print(cell(line, "yellow"), soft_wrap=True)

        reports = build_plans(orders, trtexec, listener=bars, paths=DEFAULT_PATHS, told=told)
    for report in reports:
        console.print(cell(f"{report.model}: a plan of TensorRT {report.tensorrt}, within the bars"), soft_wrap=True)
    folder = DEFAULT_PATHS.model_repository.with_name(REPOSITORY)
    console.print(cell(f"start Triton with --model-repository={folder} instead of model_repository"), soft_wrap=True)


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
def use(name: Annotated[str, typer.Argument(help="A detector, a network of yours, or an optimised form.")]) -> None:
    """Let a model serve instead of the present one for the same: a detector, or a form that `optimise` made."""
    with _reported():
        told = use_model(name, DEFAULT_PATHS)
    Screen().print(cell(f"{told}; {WHEN_IT_SERVES}"), soft_wrap=True)


@app.command()
def optimise(
    name: Annotated[str, typer.Argument(help="A detector, or a parser, face parser or pose network of yours.")],
    *,
    int8: Annotated[bool, typer.Option("--int8", help="Eight bits: a quarter of the size, faster on CPUs.")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="Half precision: half of the size, faster on GPUs.")] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Photos of your own, for --int8; else the sample photos."),
    ] = None,
) -> None:
    """Make a smaller and faster form of a model, and say what it costs. It serves only after `models use`."""
    if int8 == fp16:
        raise typer.BadParameter("give one of --int8 and --fp16")
    console, wish = Screen(), Wish(name, Precision.INT8 if int8 else Precision.FP16, calibration)
    with _reported(), ProgressBars(console) as bars:
        made = make_form(wish, listener=bars, paths=DEFAULT_PATHS)
    for file, reason in made.passed_over.items():
        console.print(cell(f"passed over: {file}: {reason}", "yellow"), soft_wrap=True)
    for line in form_told(made.report):
        console.print(cell(line), soft_wrap=True)


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
    console.print(f"{written.model} is ready; {WHEN_IT_SERVES}", soft_wrap=True)


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


def form_told(report: FormReport) -> list[str]:
    """What a form is worth, in some lines."""
    lines = [f"{report.model}: a photo takes {report.speed.form_ms:.0f} ms here instead of {report.speed.model_ms:.0f}"]
    if report.labels:
        equal, iou = report.labels.equal, report.labels.mean_iou
        lines.append(f"{equal:.2%} of the pixels have the same label, mean IoU {iou:.3f}")
    if report.boxes:
        boxes = report.boxes
        lines.append(f"it finds {boxes.found:.1%} of {boxes.boxes} boxes; {boxes.confirmed:.1%} of its own are right")
    for name, gap in report.outputs.items():
        lines.append(f"{name}: differs by {gap.mean:.3f} on average, {gap.largest:.2f} at most (1 is its own spread)")
    if report.differs_much:
        lines.append("this is much: look at what it makes of your photos before it serves")
    if not (report.labels or report.boxes or report.outputs):
        lines.append("nothing was found on these photos: compare on some of your own with --calibration")
    if report.speed.gain < 1:
        lines.append("it is no faster on this machine; half precision is for GPUs, eight bits for CPUs with VNNI")
    is_optimistic = report.calibrated_on == report.compared_on
    same = " (those that gave its ranges: on others it differs more)" if is_optimistic else ""
    lines.append(f"compared on {len(report.compared_on)} photos{same} with {report.source}, which goes on serving")
    return [*lines, f"`maskwright models use {report.model}` lets it serve; `… use {report.source}` goes back"]


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
    rows = {"added": added_models(paths), "optimised": form_states(paths)}
    for origin, found in ((origin, item) for origin, models in rows.items() for item in models.items()):
        table.add_row(cell(found[0]), _mark(found[1].value), origin, cell(roles.get(found[0], "")))
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
    added = {**added_models(DEFAULT_PATHS), **form_states(DEFAULT_PATHS)}
    half = half_built(DEFAULT_PATHS, {recipe.name for recipe in RECIPES})
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
    half = {**half, **faulty_plans(DEFAULT_PATHS)} if not names else half
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
