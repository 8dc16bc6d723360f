"""`make bench`: the cost of serving, compared with a bare loop of the same work."""

import asyncio
import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from exporters.catalogue import DEFAULT_PATHS
from gateway.settings import Settings
from loadtests.caller import Load, call_repeatedly, multipart_request
from loadtests.comparison import CALLERS, COLUMNS, CORES, Comparison, compare, loop, request, stages_table
from loadtests.durable import Passage, pass_through
from loadtests.stack import bench_stack, benchmark_jpeg, photo_server

PIPELINE, MODEL = "body_masks", "body_masks_lite"
FIELDS = {"mask_types": "upper_body"}
PARAMETERS = json.dumps({"mask_types": ["upper_body"]}).encode()

_console = Console()


@dataclass(frozen=True)
class Round:
    """One round of all measurements. Rounds are repeated, because a machine's speed drifts."""

    compared: Comparison
    lone_bare: Load
    lone_served: Load
    by_url: Passage
    inline: Passage


def main(
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 8.0,
    rounds: Annotated[int, typer.Option(help="Rounds; the table shows each.")] = 3,
    messages: Annotated[int, typer.Option(help="Messages through Kafka in each round.")] = 500,
    photo: Annotated[Path | None, typer.Option(help="A photo of one person; the astronaut without.")] = None,
) -> None:
    """Measure POST /v1/run/body_masks and the way through Kafka: one mask type, a 1024×768 JPEG."""
    jpeg = benchmark_jpeg(photo or DEFAULT_PATHS.files / "astronaut.png")
    with bench_stack(CACHE_ENABLED="false") as settings:  # every request is the same one
        measured = [_round(settings, jpeg, seconds, messages) for _ in range(rounds)]
    stages = stages_table("where the time goes, one thread", MODEL, request(jpeg, PARAMETERS))
    _console.print(_throughput(measured), _latency(measured), _durable(measured), stages)


def _round(settings: Settings, jpeg: bytes, seconds: float, messages: int) -> Round:
    inputs = request(jpeg, PARAMETERS)
    address = ("127.0.0.1", settings.api_port)
    post = multipart_request(*address, f"/v1/run/{PIPELINE}", jpeg, FIELDS)
    return Round(
        compared=compare(MODEL, inputs, address, post, seconds),
        lone_bare=loop(MODEL, inputs, workers=1, threads=CORES, seconds=seconds / 2),
        lone_served=asyncio.run(call_repeatedly(*address, post, 1, seconds / 2)),
        by_url=asyncio.run(_by_url(settings, jpeg, messages)),
        inline=asyncio.run(pass_through(settings, _inline(jpeg), messages, messages)),
    )


async def _by_url(settings: Settings, jpeg: bytes, messages: int) -> Passage:
    async with photo_server(jpeg) as url:
        return await pass_through(settings, {"type": "url", "data": url}, messages, messages)


def _inline(jpeg: bytes) -> dict[str, str]:
    return {"type": "base64", "data": base64.b64encode(jpeg).decode()}


def _throughput(rounds: list[Round]) -> Table:
    table = Table(*COLUMNS, title=f"throughput, {CALLERS} callers", title_justify="left")
    for one in rounds:
        table.add_row(*one.compared.cells())
    return table


def _latency(rounds: list[Round]) -> Table:
    table = Table(
        "bare, 2 threads a model, p50 ms", "served p50 ms", "difference ms", title="latency, one caller",
        title_justify="left",
    )  # fmt: skip
    for one in rounds:
        bare, served = one.lone_bare.percentile(50), one.lone_served.percentile(50)
        table.add_row(f"{bare:.1f}", f"{served:.1f}", f"{served - bare:.1f}")
    return table


def _durable(rounds: list[Round]) -> Table:
    table = Table(
        "image", "messages", "/s", "of POST /v1/run", title="Kafka → stored → Kafka", title_justify="left"
    )  # fmt: skip
    for one in rounds:
        for name, passage in (("url", one.by_url), ("base64", one.inline)):
            share = passage.per_second / one.compared.served.per_second
            table.add_row(name, f"{passage.messages}", f"{passage.per_second:.1f}", f"{share:.2f}")
    return table


if __name__ == "__main__":
    typer.run(main)
