"""`python -m loadtests.cache`: the cost of a hit, and of a search by similarity, with many results stored."""

import asyncio
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import asyncpg
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from deploy.embedded.addresses import Addresses
from deploy.embedded.folders import Folders
from exporters.catalogue import DEFAULT_PATHS
from gateway.cache.cache import Similarity
from gateway.postgres.results import NEAR, near_values
from gateway.settings import Settings
from loadtests.caller import Load, call_repeatedly, multipart_request
from loadtests.faces import ADDRESS as FACES
from loadtests.faces import find_case, read_case
from loadtests.stack import bench_stack, benchmark_jpeg

MASKS = "/v1/run/body_masks"
CALLERS = {"1": (1, 0.0), "8, each 10 a second": (8, 0.1), "8, one request after the other": (8, 0.0)}
"""Number of callers, and the pause of each between an answer and its next request, in seconds."""
BITS = (3, 10)
SEARCHES = 200
GROUP = bytes(32)
LANDMARKS = 478
_BATCH = 1000
_COLUMNS = (
    "task_id", "input_hash", "status", "result_data", "processing_time_ms", "ttl_expires_at", "used_at",
    "pipeline", "artifacts", "content", "bytes", "likeness_group", "perceptual_hash", "landmarks",
)  # fmt: skip

_console = Console()


@dataclass(frozen=True)
class Search:
    """Milliseconds of searches that allow this many bits to differ."""

    bits: int
    took_ms: tuple[float, ...]


def main(
    entries: Annotated[int, typer.Option(help="Results that are kept.")] = 100_000,
    entry_bytes: Annotated[int, typer.Option(help="Size of each.")] = 8192,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 10.0,
    photo: Annotated[Path | None, typer.Option(help="A photo of one person; the astronaut without.")] = None,
    case: Annotated[Path | None, typer.Option(help="A folder of a photo, landmarks and labels; else made up.")] = None,
) -> None:
    """Fill the cache, then measure hits over HTTP and searches by similarity in the database."""
    with bench_stack(CACHE_ENABLED="true", CACHE_MAX_BYTES=str(10**11)) as settings:
        dsn = _dsn(settings)
        asyncio.run(_fill(dsn, entries, entry_bytes))
        loads = {
            (name, way): _hits(settings, post, callers, seconds, pause_s)
            for name, post in _requests(settings, photo or DEFAULT_PATHS.files / "astronaut.png", case).items()
            for way, (callers, pause_s) in CALLERS.items()
        }
        searches, plan = asyncio.run(_search(dsn))
    _console.print(_hits_table(loads), _search_table(searches))
    _console.print(plan, markup=False, highlight=False, soft_wrap=True)


def _dsn(settings: Settings) -> str:
    """The embedded PostgreSQL's, or the environment's own."""
    secrets = Folders(settings.maskwright_home).secrets
    return Addresses.of(settings, secrets).settings.postgres_dsn.get_secret_value()


async def _fill(dsn: str, entries: int, entry_bytes: int) -> None:
    """Results with random hashes in one group, so that only the hashes distinguish them."""
    connection = await asyncpg.connect(dsn)
    random = np.random.default_rng(0)
    for _ in range(0, entries, _BATCH):
        await connection.copy_records_to_table(
            "task_results", records=list(_rows(random, entry_bytes)), columns=_COLUMNS
        )
    await connection.execute("VACUUM ANALYZE task_results")
    await connection.close()


def _rows(random: np.random.Generator, entry_bytes: int) -> Iterator[tuple[object, ...]]:
    until = datetime.now(UTC) + timedelta(days=1)
    for photo_hash in random.integers(-(2**63), 2**63, _BATCH):
        yield (
            str(uuid4()),
            os.urandom(32).hex(),
            "SUCCESS",
            "{}",
            80.0,
            until,
            until - timedelta(days=1),
            "face_contours",
            json.dumps([["contours.json", entry_bytes]]),
            os.urandom(entry_bytes),
            entry_bytes,
            GROUP,
            int(photo_hash),
            random.random(2 * LANDMARKS, np.float32).tobytes(),
        )


def _requests(settings: Settings, photo: Path, case: Path | None) -> dict[str, bytes]:
    """Masks of a JPEG, and contours of a PNG with given landmarks and label map."""
    address = ("127.0.0.1", settings.api_port)
    given = read_case(case) if case else find_case(settings, photo)
    return {
        "body_masks, JPEG": multipart_request(*address, MASKS, benchmark_jpeg(photo), {"mask_types": "upper_body"}),
        "face_contours, PNG, landmarks and label map": multipart_request(*address, FACES, given.photo, given.fields),
    }


def _hits(settings: Settings, post: bytes, callers: int, seconds: float, pause_s: float) -> Load:
    """The first request computes the result."""
    address = ("127.0.0.1", settings.api_port)
    asyncio.run(call_repeatedly(*address, post, 1, 0.5))
    return asyncio.run(call_repeatedly(*address, post, callers, seconds, pause_s))


async def _search(dsn: str) -> tuple[list[Search], str]:
    """Searches for random hashes, and the query plan of the last one."""
    connection = await asyncpg.connect(dsn)
    random = np.random.default_rng(1)
    searches = []
    for bits in BITS:
        hashes = [int(one) for one in random.integers(0, 2**64, SEARCHES, np.uint64)]
        searches.append(Search(bits, tuple([await _searched(connection, one, bits) for one in hashes])))
    plan = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {NEAR}", *near_values(_similarity(hashes[-1]), bits))
    await connection.close()
    return searches, "\n".join(row[0] for row in plan)


async def _searched(connection: asyncpg.Connection, photo_hash: int, bits: int) -> float:
    values = near_values(_similarity(photo_hash), bits)
    began = time.perf_counter()
    await connection.fetch(NEAR, *values)
    return (time.perf_counter() - began) * 1000


def _similarity(photo_hash: int) -> Similarity:
    return Similarity(GROUP, photo_hash, b"", 0.0)


def _hits_table(loads: Mapping[tuple[str, str], Load]) -> Table:
    table = Table("hit", "callers", "/s", "p50 ms", "p95 ms", "p99 ms", title="POST /v1/run", title_justify="left")
    for (name, way), load in loads.items():
        tail = (f"{load.percentile(share):.1f}" for share in (50, 95, 99))
        table.add_row(name, way, f"{load.per_second:.0f}", *tail)
    return table


def _search_table(searches: list[Search]) -> Table:
    table = Table("bits", "p50 ms", "p99 ms", title="search by similarity", title_justify="left")
    for search in searches:
        table.add_row(str(search.bits), *(f"{np.percentile(search.took_ms, share):.1f}" for share in (50, 99)))
    return table


if __name__ == "__main__":
    typer.run(main)
