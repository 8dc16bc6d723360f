"""`python -m loadtests.memory_growth`: memory of every service while thousands of jobs pass."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from exporters.catalogue import DEFAULT_PATHS
from gateway.settings import Settings
from loadtests.durable import Passage, pass_through
from loadtests.stack import bench_stack, benchmark_jpeg, photo_server


def main(jobs: Annotated[int, typer.Option(help="Jobs in all.")] = 5000) -> None:
    """Print each service's resident memory, in MiB, ten times on the way."""
    jpeg = benchmark_jpeg(DEFAULT_PATHS.files / "astronaut.png")
    with bench_stack() as settings:
        passage = asyncio.run(_pass(settings, jpeg, jobs))
    names = list(passage.memory[0].services)
    table = Table("jobs", *names, title=f"resident memory, MiB; {passage.per_second:.1f} jobs/s", title_justify="left")
    for part, memory in enumerate(passage.memory, start=1):
        table.add_row(str(part * max(1, jobs // 10)), *(f"{memory.services[name]:.0f}" for name in names))
    Console().print(table)


async def _pass(settings: Settings, jpeg: bytes, jobs: int) -> Passage:
    async with photo_server(jpeg) as url:
        return await pass_through(settings, {"type": "url", "data": url}, jobs, max(1, jobs // 10))


if __name__ == "__main__":
    typer.run(main)
