"""Errors, wherever they come about."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

Component = Literal["api", "worker"]


class ErrorFigures:
    """Errors by code and component."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._errors = Counter("errors_total", "Errors, by code.", ["type", "component"], registry=registry)

    def count(self, code: str, component: Component) -> None:
        """One more error; `code` is one of gateway.problems.PROBLEMS."""
        self._errors.labels(code, component).inc()
