"""HTTP requests and their answers."""

from dataclasses import dataclass
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BYTES = (1e3, 1e4, 1e5, 2.5e5, 5e5, 1e6, 2.5e6, 5e6, 1e7, 3.5e7)

Stage = Literal["request", "inference"]


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; `endpoint` is the address's pattern, such as `/v1/jobs/{id}`."""

    method: str
    endpoint: str
    status: int
    duration_s: float
    received_bytes: int
    sent_bytes: int


class RequestFigures:
    """Requests by address."""

    def __init__(self, registry: CollectorRegistry, measured: CollectorRegistry) -> None:
        place = ["method", "endpoint"]
        self._requests = Counter("api_requests_total", "Requests.", [*place, "status"], registry=registry)
        self._seconds = Histogram(
            "api_request_duration_seconds", "From head to answer.", place, buckets=_SECONDS, registry=registry
        )
        self._received = Histogram(
            "api_request_size_bytes", "Bodies of requests.", place, buckets=_BYTES, registry=registry
        )
        self._sent = Histogram(
            "api_response_size_bytes", "Bodies of answers.", place, buckets=_BYTES, registry=registry
        )

        self._in_flight = Gauge(
            "bytes_in_flight", "Bodies of requests, photos before models.", ["stage"], registry=measured
        )
        for stage in get_args(Stage):
            self._in_flight.labels(stage)

    def carry(self, stage: Stage, size: int) -> None:
        """So many bytes more, or less: of requests that are not answered yet, of photos that a model looks at."""
        self._in_flight.labels(stage).inc(size)

    def count(self, exchange: Exchange) -> None:
        """One more request."""
        place = (exchange.method, exchange.endpoint)
        self._requests.labels(*place, str(exchange.status)).inc()
        self._seconds.labels(*place).observe(exchange.duration_s)
        self._received.labels(*place).observe(exchange.received_bytes)
        self._sent.labels(*place).observe(exchange.sent_bytes)
