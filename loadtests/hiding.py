"""`python -m loadtests.hiding`: blurred copies, against the bare loop of the same work."""

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from exporters.paths import DEFAULT_PATHS
from gateway.settings import Settings
from loadtests.bare import loop, loop_in_processes, request, stage_times
from loadtests.caller import Load, call_repeatedly, multipart_request
from loadtests.photo import benchmark_jpeg
from loadtests.stack import bench_stack

ADDRESS = "/v1/run/privacy_blur"
CALLERS = 16
CORES = 2
STAGE_RUNS = 40

_console = Console()


@dataclass(frozen=True)
class Case:
    """What is hidden, and the model that serves it."""

    name: str
    model: str
    hide: tuple[str, ...]

    @property
    def parameters(self) -> bytes:
        """As the model takes them."""
        return json.dumps({"hide": self.hide}).encode()


CASES = (
    Case("faces", "privacy_blur_faces_lite", ("faces",)),
    Case("faces and objects", "privacy_blur_lite", ("faces", "persons", "vehicles")),
)


@dataclass(frozen=True)
class Round:
    """One round of a case's measurements; rounds are repeated because a machine's speed drifts."""

    case: Case
    bare: Load
    processes: Load
    served: Load


def main(
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 8.0,
    rounds: Annotated[int, typer.Option(help="Rounds; the table shows each.")] = 3,
    photo: Annotated[Path | None, typer.Option(help="A photo with faces; of two men without.")] = None,
) -> None:
    """Measure POST /v1/run/privacy_blur: a 1024×768 JPEG in, a JPEG out."""
    jpeg = benchmark_jpeg(photo or DEFAULT_PATHS.files / "zidane.jpg")
    with bench_stack(CACHE_ENABLED="false") as settings:  # every request is the same one
        measured = [_round(settings, case, jpeg, seconds) for case in CASES for _ in range(rounds)]
    _console.print(_throughput(measured), *(_stages(case, jpeg) for case in CASES))


def _round(settings: Settings, case: Case, jpeg: bytes, seconds: float) -> Round:
    inputs = request(jpeg, case.parameters)
    address = ("127.0.0.1", settings.api_port)
    post = multipart_request(*address, ADDRESS, jpeg, {"hide": ",".join(case.hide)})
    return Round(
        case=case,
        bare=loop(case.model, inputs, workers=CORES, threads=1, seconds=seconds),
        processes=loop_in_processes(case.model, inputs, workers=CORES, threads=1, seconds=seconds),
        served=asyncio.run(call_repeatedly(*address, post, CALLERS, seconds)),
    )


def _throughput(rounds: list[Round]) -> Table:
    table = Table(
        "hidden", "bare, 2 threads /s", "bare, 2 processes /s", "served /s", "of 2 threads", "of 2 processes", "p50 ms",
        "p95 ms", "p99 ms", title=f"blurred copies, {CALLERS} callers", title_justify="left",
    )  # fmt: skip
    for one in rounds:
        rates = [one.bare.per_second, one.processes.per_second, one.served.per_second]
        shares = [one.served.per_second / rate for rate in rates[:2]]
        tail = [one.served.percentile(share) for share in (50, 95, 99)]
        table.add_row(
            one.case.name, *(f"{rate:.1f}" for rate in rates), *(f"{share:.2f}" for share in shares),
            *(f"{ms:.0f}" for ms in tail),
        )  # fmt: skip
    return table


def _stages(case: Case, jpeg: bytes) -> Table:
    table = Table("stage", "ms", "share", title=f"{case.name}: where the time goes, one thread", title_justify="left")
    times = stage_times(case.model, request(jpeg, case.parameters), threads=1, runs=STAGE_RUNS)
    for stage, milliseconds in times.items():
        table.add_row(stage, f"{milliseconds:.1f}", f"{milliseconds / sum(times.values()):.0%}")
    return table


if __name__ == "__main__":
    typer.run(main)
