"""What one process counts and measures, for Prometheus, by the names and labels of the services before."""

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypedDict, cast, get_args

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from typing_extensions import override

from gateway.jobs.job import CallbackKind, Job, Outcome, SubmittedJob
from gateway.pipelines.outputs import InferenceResult

MEDIA_TYPE = CONTENT_TYPE_LATEST
KINDS: tuple[CallbackKind, ...] = get_args(CallbackKind)

KNOWN_REGIONS = frozenset(
    """
    forehead nose left_under_eye right_under_eye mouth left_eye right_eye left_eyebrow right_eyebrow upper_lip lower_lip
    face_oval left_cheek right_cheek skin inner_mouth hair l_brow r_brow l_eye r_eye eye_glasses l_ear r_ear earring
    u_lip l_lip neck necklace cloth hat
    """.split()  # noqa: SIM905 a list of quoted names is five times as long
)
OTHER = "other"
"""In place of names that callers made up: Prometheus keeps every value of a label for good."""

_TASK_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BYTES = (1e3, 1e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 3.5e7)
_WAITING = "queue"
_INFERENCE = "infer"
_CREDENTIALS = ("credentials_missing", "token_invalid", "token_expired", "key_unknown", "key_revoked", "key_expired")
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGESIZE")
_SHORTEST_S = 1.0
"""Over less time, the processor's share says nothing."""

Component = Literal["api", "worker"]
Part = Literal["gateway", "worker"]
Stage = Literal["request", "inference"]
DeliveryStatus = Literal["delivered", "retried", "given_up"]


class Instruments:
    """Everything that this process counts, from its start on."""

    def __init__(self, part: Part) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        process = f"{part}-{socket.gethostname()}-{os.getpid()}"
        registry.register(_Usage(process))
        self.errors = ErrorMetrics(registry)
        self.requests = HttpMetrics(registry)
        self.tasks = TaskMetrics(registry, self.errors, process)
        self.deliveries = DeliveryMetrics(registry)
        self.kafka = KafkaMetrics(registry, process)
        held = Gauge(
            "bytes_in_flight", "Bodies of requests, photos before models.", ["stage", "process"], registry=registry
        )
        self._in_flight = {stage: held.labels(stage, process) for stage in get_args(Stage)}

    def carry(self, stage: Stage, size: int) -> None:
        """So many bytes more, or less: of requests that are not answered yet, of photos that a model looks at."""
        self._in_flight[stage].inc(size)

    def inferring(self, size: int) -> None:
        """So many bytes more, or less, of photos that a model looks at."""
        self.carry("inference", size)

    def text(self) -> bytes:
        """The metrics page, of the media type MEDIA_TYPE."""
        return generate_latest(self.registry)


class ErrorMetrics:
    """Errors by code and component."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._errors = Counter("errors_total", "Errors, by code.", ["type", "component"], registry=registry)
        self._refused = Counter("credentials_refused_total", "Tokens and keys refused.", ["code"], registry=registry)
        # An alert sees a counter grow only if it was there before.
        self._errors.labels("attempts_exhausted", "worker")
        for code in _CREDENTIALS:
            self._refused.labels(code)

    def count(self, code: str, component: Component) -> None:
        """One more error; `code` is one of gateway.errors.PROBLEMS."""
        self._errors.labels(code, component).inc()
        if code in _CREDENTIALS:
            self._refused.labels(code).inc()


class HttpMetrics:
    """Requests by address."""

    def __init__(self, registry: CollectorRegistry) -> None:
        place = ["method", "endpoint"]
        self._requests = Counter("api_requests_total", "Requests.", [*place, "status"], registry=registry)
        self._seconds = Histogram(
            "api_request_duration_seconds", "From head to answer.", place, buckets=_HTTP_SECONDS, registry=registry
        )
        self._received = Histogram(
            "api_request_size_bytes", "Bodies of requests.", place, buckets=_BYTES, registry=registry
        )
        self._sent = Histogram(
            "api_response_size_bytes", "Bodies of answers.", place, buckets=_BYTES, registry=registry
        )

    def count(self, place: tuple[str, str], status: int, duration_s: float, received: int, sent: int) -> None:
        """One more request; `place` is its method and its address's pattern, such as `/v1/jobs/{id}`."""
        self._requests.labels(*place, str(status)).inc()
        self._seconds.labels(*place).observe(duration_s)
        self._received.labels(*place).observe(received)
        self._sent.labels(*place).observe(sent)


class _Region(TypedDict):
    name: str


class _Looked(TypedDict):
    tiles: int


class _Face(TypedDict):
    landmarks: int
    regions: list[_Region]


class TaskMetrics:
    """Jobs by pipeline; inferences, those of POST /v1/run too."""

    def __init__(self, registry: CollectorRegistry, errors: ErrorMetrics, process: str) -> None:
        self._errors = errors
        self._process = process
        self._submissions = Counter("task_submissions_total", "Jobs taken in.", ["type"], registry=registry)
        self._completions = Counter("task_completions_total", "Jobs ended.", ["type", "status"], registry=registry)
        self._seconds = Histogram(
            "task_processing_duration_seconds", "Work on a job.", ["type"], buckets=_TASK_SECONDS, registry=registry
        )
        self._stages = Histogram(
            "image_processing_duration_seconds",
            "One stage of it.",
            ["operation"],
            buckets=_TASK_SECONDS,
            registry=registry,
        )
        self._landmarks = Counter("landmarks_processed_total", "Face landmarks worked with.", registry=registry)
        self._tiles = Counter("detector_tiles_total", "Tiles of photos looked at by detectors.", registry=registry)
        self._regions = Counter("regions_generated_total", "Facial regions drawn.", ["type"], registry=registry)
        self._lost = Counter("leases_lost_total", "Leases over before the work was.", registry=registry)
        self._latest_ms = Gauge(
            "processing_time_ms", "Work on the latest job.", ["status", "process"], registry=registry
        )

    def submitted(self, submissions: Iterable[SubmittedJob]) -> None:
        """Jobs were handed in: those that were not known before count, and some of them have ended already."""
        for job in (submission.job for submission in submissions if submission.result == "created"):
            self._submissions.labels(job.request.pipeline).inc()
            if job.outcome:
                self.ended(job, job.outcome)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """A job has its outcome, and was not cancelled."""
        pipeline = job.request.pipeline
        self._completions.labels(pipeline, outcome.state).inc()
        self._seconds.labels(pipeline).observe(outcome.processing_ms / 1000)
        self._latest_ms.labels("cached" if outcome.cached else "new", self._process).set(outcome.processing_ms)
        for stage, duration_ms in outcome.timings_ms.items():
            if stage not in (_WAITING, _INFERENCE):
                self._stages.labels(stage).observe(duration_ms / 1000)
        if outcome.failure:
            self._errors.count(outcome.failure.code, "worker")

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
                self._regions.labels(region["name"] if region["name"] in KNOWN_REGIONS else OTHER).inc()


class DeliveryMetrics:
    """How attempts at deliveries ended, by kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter(
            "outbox_deliveries_total", "Attempts at deliveries.", ["kind", "status"], registry=registry
        )
        for kind in KINDS:
            for status in get_args(DeliveryStatus):
                self._ended.labels(kind, status)

    def count(self, kind: CallbackKind, status: DeliveryStatus, attempts: int = 1) -> None:
        """So many more attempts ended."""
        self._ended.labels(kind, status).inc(attempts)


class KafkaMetrics:
    """What a member of the consumer group has, and the messages that were not read, or not sent, as they were."""

    def __init__(self, registry: CollectorRegistry, process: str) -> None:
        self._process = process
        self._skipped = Counter(
            "kafka_unreadable_total", "Records, or batches, that nobody can read.", ["topic"], registry=registry
        )
        self._shortened = Counter(
            "kafka_messages_shortened_total", "Messages too large for their topic.", ["topic"], registry=registry
        )
        partition = ["topic", "partition", "process"]
        self._lag = Gauge("kafka_consumer_lag", "Messages behind, of partitions taken.", partition, registry=registry)
        self._standing = Gauge(
            "kafka_partition_standing_seconds",
            "Partitions that stand still, and since when.",
            partition,
            registry=registry,
        )
        self._assigned = Gauge(
            "kafka_partitions_assigned", "Partitions that are the worker's.", ["process"], registry=registry
        )
        self._present = Gauge(
            "kafka_topic_present", "Whether the topic is there.", ["topic", "process"], registry=registry
        )

    def skipped(self, topic: str, count: int) -> None:
        """So many more records were stepped over."""
        self._skipped.labels(topic).inc(count)

    def shortened(self, topic: str) -> None:
        """One more message was sent without its value."""
        self._shortened.labels(topic).inc()

    def lags(self, lag: Mapping[str, int]) -> None:
        """Messages behind, by topic/partition, of all partitions that are this member's."""
        self._lag.clear()
        for name, behind in lag.items():
            self._lag.labels(*name.rsplit("/", 1), self._process).set(behind)

    def stands(self, standing: Iterable[tuple[str, int, float]]) -> None:
        """Topic, partition and seconds of all partitions that stand still."""
        self._standing.clear()
        for topic, partition, seconds in standing:
            self._standing.labels(topic, str(partition), self._process).set(seconds)

    def membership(self, topic: str, *, is_there: bool, partitions: int) -> None:
        """Whether there is a topic, and how many of its partitions are this member's."""
        self._present.labels(topic, self._process).set(is_there)
        self._assigned.labels(self._process).set(partitions)


class _Usage(Collector):
    """Memory and processor time of this process; the latter as a share of the seconds before."""

    def __init__(self, process: str) -> None:
        self._process = process
        self._read_at, self._used_s = time.monotonic(), time.process_time()
        self._percent = 0.0

    @override
    def collect(self) -> Iterator[Metric]:
        memory = GaugeMetricFamily("memory_usage_bytes", "Resident memory of a process.", labels=["process"])
        memory.add_metric([self._process], _resident_bytes())
        cpu = GaugeMetricFamily(
            "cpu_usage_percent", "Processor time of a process; 100 is one core.", labels=["process"]
        )
        cpu.add_metric([self._process], self._cpu_percent())
        yield from (memory, cpu)

    def _cpu_percent(self) -> float:
        now, used_s = time.monotonic(), time.process_time()
        if now - self._read_at >= _SHORTEST_S:
            self._percent = 100 * (used_s - self._used_s) / (now - self._read_at)
            self._read_at, self._used_s = now, used_s
        return self._percent


def _resident_bytes() -> int:
    """The second field is the resident pages: proc(5), statm."""
    return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
