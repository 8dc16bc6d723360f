from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from gateway.jobs.job import Outcome
from gateway.metrics.instruments import KNOWN_REGIONS, Instruments
from gateway.pipelines.outputs import Failure, InferenceResult
from tests.unit.gateway.worker.jobs import memory, new_job
from vision.face.regions import REGION_NUMBERS
from vision.face.segmentation import BACKGROUND, CELEBAMASK_HQ, CONTOURS

DONE = Outcome({}, timings_ms={"queue": 900.0, "fetch": 1.0, "infer": 20.0, "store": 3.0})
NOBODY = Outcome(failure=Failure("no_person", "nobody there"))


def value(instruments: Instruments, name: str, **labels: str) -> float | None:
    """The sum over all values of the labels that are not given."""
    found = [
        sample.value
        for family in instruments.registry.collect()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    ]
    return sum(found) if found else None


async def test_jobs_are_counted_once_however_often_they_are_submitted() -> None:
    instruments, request = Instruments("gateway"), new_job()
    async with memory() as stores:
        for jobs in ([request, new_job()], [request]):
            instruments.tasks.submitted(await stores.jobs.submit(jobs))
    assert value(instruments, "task_submissions_total", type="body_masks") == 2
    assert value(instruments, "task_completions_total") is None


async def test_jobs_are_timed_without_their_wait() -> None:
    instruments = Instruments("worker")
    async with memory() as stores:
        submissions = await stores.jobs.submit([new_job(), new_job()])
    for submission, outcome in zip(submissions, (DONE, NOBODY), strict=True):
        instruments.tasks.ended(submission.job, outcome)
    for status in ("completed", "failed"):
        assert value(instruments, "task_completions_total", type="body_masks", status=status) == 1
    assert value(instruments, "task_processing_duration_seconds_sum", type="body_masks") == 0.024
    assert value(instruments, "image_processing_duration_seconds_count", operation="fetch") == 1
    assert value(instruments, "image_processing_duration_seconds_count", operation="queue") is None
    assert value(instruments, "processing_time_ms", status="new") == 0.0
    assert value(instruments, "errors_total", type="no_person", component="worker") == 1


async def test_a_job_that_ends_on_submission_is_counted_at_once() -> None:
    instruments = Instruments("gateway")
    cached = Outcome({"cached": True}, timings_ms={"cache": 2.5})
    async with memory() as stores:
        submissions = await stores.jobs.submit([new_job(outcome=cached), new_job(outcome=NOBODY)])
        instruments.tasks.submitted(submissions)
    assert value(instruments, "task_completions_total", type="body_masks", status="completed") == 1
    assert value(instruments, "errors_total", type="no_person", component="worker") == 1
    assert value(instruments, "processing_time_ms", status="cached") == 2.5


def face(*names: str) -> Mapping[str, object]:
    return {"landmarks": 478, "regions": [{"number": number, "name": name} for number, name in enumerate(names, 1)]}


def test_faces_are_counted_by_what_was_drawn_of_them() -> None:
    instruments = Instruments("worker")
    result = {"faces": [face("nose", "forehead"), face("nose", "my own name")]}
    instruments.tasks.inferred(InferenceResult(result, ()), 0.03)
    instruments.tasks.inferred(InferenceResult({"persons": []}, ()), 0.03)
    assert value(instruments, "landmarks_processed_total") == 956
    drawn = {name: value(instruments, "regions_generated_total", type=name) for name in ("nose", "forehead", "other")}
    assert drawn == {"nose": 2, "forehead": 1, "other": 1}
    assert value(instruments, "regions_generated_total", type="my own name") is None
    assert value(instruments, "image_processing_duration_seconds_count", operation="infer") == 2


def test_every_region_that_is_drawn_is_known_and_no_other() -> None:
    labels = {name for scheme in (CONTOURS, CELEBAMASK_HQ) for name in scheme.names} - {CONTOURS.names[BACKGROUND]}
    assert labels | set(REGION_NUMBERS) == KNOWN_REGIONS


def test_counters_that_alerts_watch_are_there_from_the_start() -> None:
    instruments = Instruments("worker")
    assert value(instruments, "errors_total", type="attempts_exhausted", component="worker") == 0
    for status in ("delivered", "retried", "given_up"):
        assert value(instruments, "outbox_deliveries_total", kind="webhook", status=status) == 0
    assert value(instruments, "leases_lost_total") == 0
    assert value(instruments, "credentials_refused_total", code="key_unknown") == 0


def test_the_page_is_read_as_it_was_meant() -> None:
    instruments = Instruments("worker")
    for duration_s in (0.02, 0.2):
        instruments.requests.count(("GET", "/health"), 200, duration_s, 0, 17)
    text = instruments.text().decode()
    assert "_created" not in text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    [sample] = families["api_requests"].samples
    assert (sample.name, sample.value) == ("api_requests_total", 2.0)
    assert sample.labels == {"method": "GET", "endpoint": "/health", "status": "200"}
    assert all(family.documentation for family in families.values())


def test_a_process_names_itself_and_shows_what_it_takes_of_the_machine() -> None:
    instruments = Instruments("worker")
    families = {family.name: family for family in text_string_to_metric_families(instruments.text().decode())}
    [memory_used] = families["memory_usage_bytes"].samples
    assert memory_used.labels["process"].startswith("worker-")
    assert memory_used.value > 1_000_000
    [cpu] = families["cpu_usage_percent"].samples
    assert (cpu.labels, cpu.value >= 0) == (memory_used.labels, True)
