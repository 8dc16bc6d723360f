"""`python -m loadtests.redaction`: blurred copies, compared with a bare loop of the same work."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from exporters.catalogue import DEFAULT_PATHS
from gateway.settings import Settings
from loadtests.caller import multipart_request
from loadtests.comparison import CALLERS, COLUMNS, Comparison, compare, request, stages_table
from loadtests.stack import bench_stack, benchmark_jpeg

ADDRESS = "/v1/run/privacy_blur"

_console = Console()


@dataclass(frozen=True)
class Case:
    """What is hidden, and the model that serves it."""

    name: str
    model: str
    hide: tuple[str, ...]

    @property
    def parameters(self) -> bytes:
        """Parameters as the model takes them."""
        return json.dumps({"hide": self.hide}).encode()


CASES = (
    Case("faces", "privacy_blur_lite", ("faces",)),
    Case("faces and plates", "privacy_blur_lite", ("faces", "plates")),
    Case("faces and objects", "privacy_blur_lite", ("faces", "persons", "vehicles")),
)


def main(
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 8.0,
    rounds: Annotated[int, typer.Option(help="Rounds; the table shows each.")] = 3,
    photo: Annotated[Path | None, typer.Option(help="A photo with faces; of two men without.")] = None,
) -> None:
    """Measure POST /v1/run/privacy_blur: a 1024×768 JPEG in, a JPEG out."""
    jpeg = benchmark_jpeg(photo or DEFAULT_PATHS.files / "zidane.jpg")
    with bench_stack(CACHE_ENABLED="false") as settings:  # every request is the same one
        measured = [(case, _compared(settings, case, jpeg, seconds)) for case in CASES for _ in range(rounds)]
    _console.print(_throughput(measured), *(_stages(case, jpeg) for case in CASES))


def _compared(settings: Settings, case: Case, jpeg: bytes, seconds: float) -> Comparison:
    address = ("127.0.0.1", settings.api_port)
    post = multipart_request(*address, ADDRESS, jpeg, {"hide": ",".join(case.hide)})
    return compare(case.model, request(jpeg, case.parameters), address, post, seconds)


def _throughput(measured: Sequence[tuple[Case, Comparison]]) -> Table:
    table = Table("hidden", *COLUMNS, title=f"blurred copies, {CALLERS} callers", title_justify="left")
    for case, one in measured:
        table.add_row(case.name, *one.cells())
    return table


def _stages(case: Case, jpeg: bytes) -> Table:
    title = f"{case.name}: where the time goes, one thread"
    return stages_table(title, case.model, request(jpeg, case.parameters))


if __name__ == "__main__":
    typer.run(main)
