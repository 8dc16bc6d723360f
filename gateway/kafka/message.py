"""A message as it came, and the ids that follow from where it came from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from uuid import UUID, uuid5

from gateway.jobs.job import trace_id_of

_NAMESPACE = UUID("5a3a1f0e-6a2d-5d0e-9c55-0d8f2b1c7e44")

_ATTEMPTS_DIGITS = 6


@dataclass(frozen=True)
class Message:
    """A message of a topic; `timestamp` in ms since 1970, as its producer or the broker set it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """topic/partition/offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"

    @cached_property
    def job_id(self) -> UUID:
        """The same every time the message is delivered, and another one for every other message.

        The time and the content are in it because a topic that was made anew counts its offsets from zero again.
        """
        content = hashlib.sha256(self.value or b"").hexdigest()
        return uuid5(_NAMESPACE, f"{self.origin}/{self.timestamp}/{content}")

    @property
    def attempts(self) -> int:
        """How often it was tried before, by the header that the poison topic's messages have; 0 without it."""
        given = self.headers.get("attempts", b"")
        return int(given) if given.isdigit() and len(given) <= _ATTEMPTS_DIGITS else 0

    @property
    def trace_id(self) -> str:
        """Of the header `traceparent`, or else the job's own."""
        given = self.headers.get("traceparent", b"").decode("ascii", "replace")
        return trace_id_of(given) or self.job_id.hex
