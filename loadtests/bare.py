"""The bare loop: the same decoding, models and masks, without servers."""

import multiprocessing
import threading
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from deploy.embedded.triton import ENSEMBLES, MODELS, write_ensembles
from loadtests.caller import Load
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
