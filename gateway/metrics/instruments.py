"""What one process counts and times."""

from prometheus_client import CollectorRegistry

from gateway.jobs.job import Job, Outcome
from gateway.metrics.deliveries import DeliveryFigures
from gateway.metrics.errors import ErrorFigures
from gateway.metrics.kafka import KafkaFigures
from gateway.metrics.requests import RequestFigures
from gateway.metrics.tasks import TaskFigures
from gateway.metrics.usage import UsageFigures


class Instruments:
    """Names and labels are those of the facial services' documents.

    `counted` holds what only grows, and is added up over all processes; `measured` what is so in this process now.
    """

    def __init__(self) -> None:
        self.counted, self.measured = CollectorRegistry(), CollectorRegistry()
        self.errors = ErrorFigures(self.counted)
        self.requests = RequestFigures(self.counted, self.measured)
        self.kafka = KafkaFigures(self.counted, self.measured)
        self.tasks = TaskFigures(self.counted, self.measured)
        self.usage = UsageFigures(self.measured)
        self.deliveries = DeliveryFigures(self.counted)

    def inferring(self, size: int) -> None:
        """So many bytes more, or less, of photos are before models."""
        self.requests.carry("inference", size)

    def ended(self, job: Job, outcome: Outcome) -> None:
        """A job has its outcome."""
        self.tasks.ended(job, outcome)
        if outcome.failure:
            self.errors.count(outcome.failure.code, "worker")
