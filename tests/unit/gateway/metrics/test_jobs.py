from collections.abc import Mapping

from gateway.artifacts import InferenceResult
from gateway.jobs.job import Outcome
from gateway.metrics.instruments import Instruments
from gateway.metrics.jobs import MeasuredJobs
from gateway.results import Failure
from tests.unit.gateway.worker.jobs import memory, new_job

DONE = Outcome({}, timings_ms={"queue": 900.0, "fetch": 1.0, "infer": 20.0, "store": 3.0})
NOBODY = Outcome(failure=Failure("no_person", "nobody there"))


def value(instruments: Instruments, name: str, **labels: str) -> float | None:
    registry = instruments.measured if name == "processing_time_ms" else instruments.counted
    return registry.get_sample_value(name, labels)


async def test_jobs_are_counted_once_and_timed_without_their_wait() -> None:
    instruments, request = Instruments(), new_job()
    async with memory() as stores:
        jobs = MeasuredJobs(stores.jobs, instruments)
        await jobs.submit([request, new_job()])
        await jobs.submit([request])
        first, second = await jobs.claim("tester", 2, 30)
        assert await jobs.finish(first, DONE)
        assert not await jobs.finish(first, DONE)
        assert await jobs.retry(second, Failure("triton_unavailable", "away"), 0)
        (second,) = await jobs.claim("tester", 1, 30)
        assert await jobs.finish(second, NOBODY)
    assert value(instruments, "task_submissions_total", type="body_masks") == 2
    for status in ("completed", "failed"):
        assert value(instruments, "task_completions_total", type="body_masks", status=status) == 1
    assert value(instruments, "task_processing_duration_seconds_sum", type="body_masks") == 0.024
    assert value(instruments, "image_processing_duration_seconds_count", operation="fetch") == 1
    assert value(instruments, "image_processing_duration_seconds_count", operation="queue") is None
    assert value(instruments, "processing_time_ms", status="new") == 0.0
    for code in ("triton_unavailable", "no_person"):
        assert value(instruments, "errors_total", type=code, component="worker") == 1


async def test_a_job_that_ends_as_it_comes_is_counted_at_once() -> None:
    instruments = Instruments()
    cached = Outcome({"cached": True}, timings_ms={"cache": 2.5})
    async with memory() as stores:
        await MeasuredJobs(stores.jobs, instruments).submit([new_job(outcome=cached), new_job(outcome=NOBODY)])
    assert value(instruments, "task_completions_total", type="body_masks", status="completed") == 1
    assert value(instruments, "errors_total", type="no_person", component="worker") == 1
    assert value(instruments, "processing_time_ms", status="cached") == 2.5


def face(*names: str) -> Mapping[str, object]:
    return {"landmarks": 478, "regions": [{"number": number, "name": name} for number, name in enumerate(names, 1)]}


def test_faces_are_counted_by_what_was_drawn_of_them() -> None:
    instruments = Instruments()
    result = {"faces": [face("nose", "forehead"), face("nose", "my own name")]}
    instruments.tasks.inferred(InferenceResult(result, ()), 0.03)
    instruments.tasks.inferred(InferenceResult({"persons": []}, ()), 0.03)
    assert value(instruments, "landmarks_processed_total") == 956
    drawn = {name: value(instruments, "regions_generated_total", type=name) for name in ("nose", "forehead", "other")}
    assert drawn == {"nose": 2, "forehead": 1, "other": 1}
    assert value(instruments, "regions_generated_total", type="my own name") is None
    assert value(instruments, "image_processing_duration_seconds_count", operation="infer") == 2
