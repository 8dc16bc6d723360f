"""Jobs and what was done for them."""

from typing import TypedDict, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from gateway.jobs.job import Job, Outcome
from gateway.metrics.regions import region_type
from gateway.results import InferenceResult

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WAITING = "queue"
_INFERENCE = "infer"


class _Region(TypedDict):
    name: str


class _Looked(TypedDict):
    tiles: int


class _Face(TypedDict):
    landmarks: int
    regions: list[_Region]


class TaskFigures:
    """Jobs by pipeline; inferences, those of POST /v1/run too."""

    def __init__(self, counted: CollectorRegistry, measured: CollectorRegistry) -> None:
        self._submissions = Counter("task_submissions_total", "Jobs taken in.", ["type"], registry=counted)
        self._completions = Counter("task_completions_total", "Jobs ended.", ["type", "status"], registry=counted)
        self._seconds = Histogram(
            "task_processing_duration_seconds", "Work on a job.", ["type"], buckets=_SECONDS, registry=counted
        )
        self._stages = Histogram(
            "image_processing_duration_seconds", "One stage of it.", ["operation"], buckets=_SECONDS, registry=counted
        )
        self._landmarks = Counter("landmarks_processed_total", "Face landmarks worked with.", registry=counted)
        self._tiles = Counter("detector_tiles_total", "Tiles of photos looked at by detectors.", registry=counted)
        self._regions = Counter("regions_generated_total", "Facial regions drawn.", ["type"], registry=counted)
        self._lost = Counter("leases_lost_total", "Leases over before the work was.", registry=counted)
        self._latest_ms = Gauge("processing_time_ms", "Work on the latest job.", ["status"], registry=measured)

    def submitted(self, job: Job) -> None:
        """One more job was taken in; it may have ended already."""
        self._submissions.labels(job.request.pipeline).inc()
        if job.outcome:
            self.ended(job, job.outcome)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """A job has its outcome."""
        pipeline = job.request.pipeline
        self._completions.labels(pipeline, outcome.state).inc()
        self._seconds.labels(pipeline).observe(outcome.processing_ms / 1000)
        self._latest_ms.labels("cached" if outcome.cached else "new").set(outcome.processing_ms)
        for stage, duration_ms in outcome.timings_ms.items():
            if stage not in (_WAITING, _INFERENCE):
                self._stages.labels(stage).observe(duration_ms / 1000)

    def lost_lease(self) -> None:
        """A lease was over before the work on its job was."""
        self._lost.inc()

    def inferred(self, inference: InferenceResult, duration_s: float) -> None:
        """A model has answered; it says how many tiles it looked at, and of contours their landmarks and regions."""
        self._stages.labels(_INFERENCE).observe(duration_s)
        self._tiles.inc(cast("_Looked", inference.result.get("looked") or {"tiles": 0})["tiles"])
        for face in cast("list[_Face]", inference.result.get("faces") or []):
            self._landmarks.inc(face["landmarks"])
            for region in face["regions"]:
                self._regions.labels(region_type(region["name"])).inc()
