"""What one process counts and times."""

from prometheus_client import CollectorRegistry

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
        self.kafka = KafkaFigures(self.counted, self.measured)
        self.requests = RequestFigures(self.counted)
        self.tasks = TaskFigures(self.counted, self.measured)
        self.usage = UsageFigures(self.measured)
