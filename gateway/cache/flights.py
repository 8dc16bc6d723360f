"""Requests that want the same result at one moment, and share the failure to compute it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakValueDictionary

from gateway.errors import Problem

_SHARED = frozenset({"triton_unavailable", "inference_failed"})
"""What the next would only learn after the same wait."""


@dataclass(eq=False)
class Flight:
    """Those who came while one of them computed; `problem` is what that one ran into."""

    problem: Problem | None = None


class Flights:
    """The flights under way, by the digest of what they want."""

    def __init__(self) -> None:
        self._under_way: WeakValueDictionary[bytes, Flight] = WeakValueDictionary()

    def join(self, digest: bytes) -> Flight:
        """The flight that is under way, or a new one."""
        return self._under_way.setdefault(digest, Flight())

    @contextmanager
    def led(self, digest: bytes, flight: Flight) -> Iterator[None]:
        """Compute for the flight, one at a time; whoever comes after a failure joins another.

        Raises the Problem that an earlier one of the flight ran into.
        """
        if flight.problem:
            raise _copy(flight.problem)
        try:
            yield
        except Problem as problem:
            if problem.code in _SHARED:
                flight.problem = _copy(problem)
                self._under_way.pop(digest, None)
            raise


def _copy(problem: Problem) -> Problem:
    """Without the traceback, which holds on to the photo."""
    return Problem(problem.code, problem.detail, headers=problem.headers)
