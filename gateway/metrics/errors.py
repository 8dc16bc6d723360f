"""Errors, wherever they come about."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

Component = Literal["api", "worker"]

_CREDENTIALS = ("credentials_missing", "token_invalid", "token_expired", "key_unknown", "key_revoked", "key_expired")


class ErrorFigures:
    """Errors by code and component."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._errors = Counter("errors_total", "Errors, by code.", ["type", "component"], registry=registry)
        self._refused = Counter("credentials_refused_total", "Tokens and keys refused.", ["code"], registry=registry)
        for code in _CREDENTIALS:
            self._refused.labels(code)

    def count(self, code: str, component: Component) -> None:
        """One more error; `code` is one of gateway.errors.PROBLEMS."""
        self._errors.labels(code, component).inc()
        if code in _CREDENTIALS:
            self._refused.labels(code).inc()
