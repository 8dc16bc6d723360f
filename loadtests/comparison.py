"""A pipeline that the stack serves, compared with a bare loop: the same decoding, models and masks without servers."""

import asyncio
import multiprocessing
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from rich.table import Table

from deploy.embedded.triton import ENSEMBLES, MODELS, write_ensembles
from loadtests.caller import Load, call_repeatedly
from steps.ensemble import Ensemble, steps_of
from steps.onnx_session import OnnxNetworks, SessionOptions
from steps.tensors import Tensors, bytes_tensor


def pipeline(name: str, threads: int) -> Ensemble:
    """An ensemble in this process, as the launcher writes it, with `threads` threads for each model."""
    cv2.setNumThreads(threads)
    options = SessionOptions(intra_op_thread_count=threads, allow_spinning=False)
    with TemporaryDirectory() as folder:
        write_ensembles(ENSEMBLES, MODELS, Path(folder), {name})
        return Ensemble(Path(folder, name), MODELS, steps_of(MODELS, OnnxNetworks(MODELS, options)), options)


def request(photo: bytes, parameters: bytes) -> Tensors:
    """The input tensors of one request."""
    return {"image": bytes_tensor([photo]), "parameters": bytes_tensor([parameters])}


def loop(name: str, inputs: Tensors, workers: int, threads: int, seconds: float) -> Load:
    """Run the pipeline repeatedly on `workers` threads. Each has its own sessions with `threads` threads."""
    pipelines = [pipeline(name, threads) for _ in range(workers)]
    for warm in pipelines:
        warm(inputs)
    barrier = threading.Barrier(workers + 1)

    def work(ensemble: Ensemble) -> list[float]:
        barrier.wait()
        latencies = []
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            ensemble(inputs)
            latencies.append((time.perf_counter() - start) * 1e3)
        return latencies

    with ThreadPoolExecutor(workers) as pool:
        running = [pool.submit(work, ensemble) for ensemble in pipelines]
        barrier.wait()
        start = time.perf_counter()
        latencies = [value for one in running for value in one.result()]
    return Load(time.perf_counter() - start, np.array(latencies))


def loop_in_processes(name: str, inputs: Tensors, workers: int, threads: int, seconds: float) -> Load:
    """The same in separate processes, which no interpreter lock slows down. This is the machine's limit."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers) as pool:
        loads = pool.starmap(loop, [(name, dict(inputs), 1, threads, seconds)] * workers, chunksize=1)
    return Load(max(load.wall for load in loads), np.concatenate([load.latencies for load in loads]))


def stage_times(name: str, inputs: Tensors, threads: int, runs: int) -> dict[str, float]:
    """The median time of each stage, in milliseconds."""
    ensemble = pipeline(name, threads)
    times = defaultdict(list)
    for _ in range(runs):
        tensors = dict(inputs)
        for stage in ensemble.stages:
            start = time.perf_counter()
            stage.run(tensors)
            times[stage.name].append((time.perf_counter() - start) * 1e3)
    return {stage: float(np.median(values)) for stage, values in times.items()}


CALLERS = 16
CORES = 2
COLUMNS = (
    "bare, 2 threads /s", "bare, 2 processes /s", "served /s", "of 2 threads", "of 2 processes", "p50 ms", "p95 ms",
    "p99 ms",
)  # fmt: skip
"""Titles of `Comparison.cells`."""
_STAGE_RUNS = 40


@dataclass(frozen=True)
class Comparison:
    """The bare loop on two threads and in two processes, and the same work served to many callers."""

    bare: Load
    processes: Load
    served: Load

    def cells(self) -> list[str]:
        """A row of a table: rates, shares, latencies."""
        rates = [self.bare.per_second, self.processes.per_second, self.served.per_second]
        shares = [self.served.per_second / rate for rate in rates[:2]]
        tail = [self.served.percentile(share) for share in (50, 95, 99)]
        return [
            *(f"{rate:.1f}" for rate in rates),
            *(f"{share:.2f}" for share in shares),
            *(f"{ms:.0f}" for ms in tail),
        ]


def compare(model: str, inputs: Tensors, address: tuple[str, int], post: bytes, seconds: float) -> Comparison:
    """Measure each in turn, `seconds` long. `post` is the request with these `inputs`."""
    return Comparison(
        bare=loop(model, inputs, workers=CORES, threads=1, seconds=seconds),
        processes=loop_in_processes(model, inputs, workers=CORES, threads=1, seconds=seconds),
        served=asyncio.run(call_repeatedly(*address, post, CALLERS, seconds)),
    )


def stages_table(title: str, model: str, inputs: Tensors) -> Table:
    """The median time of each stage in one thread."""
    table = Table("stage", "ms", "share", title=title, title_justify="left")
    times = stage_times(model, inputs, threads=1, runs=_STAGE_RUNS)
    for stage, milliseconds in times.items():
        table.add_row(stage, f"{milliseconds:.1f}", f"{milliseconds / sum(times.values()):.0%}")
    return table
