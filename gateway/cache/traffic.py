"""What was asked of the cache, in figures."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from operator import add

from gateway.cache.cache import CacheHit, NewEntry


@dataclass(frozen=True)
class Traffic:
    """Requests, and what became of them, as in CacheStats."""

    requests: int = 0
    hits: int = 0
    successes: int = 0
    failures: int = 0
    spent_ms: float = 0.0
    saved_ms: float = 0.0

    @classmethod
    def of(cls, served: CacheHit | NewEntry) -> "Traffic":
        """That of one request."""
        spent = served.value.processing_ms
        if isinstance(served, CacheHit):
            return cls(requests=1, hits=1, saved_ms=spent)
        failed = served.value.failure is not None
        return cls(requests=1, successes=int(not failed), failures=int(failed), spent_ms=spent)

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(*map(add, vars(self).values(), vars(other).values()))


NOTHING = Traffic()


@dataclass(frozen=True)
class Counted:
    """Traffic by pipeline, and hits by the digest of the entry."""

    traffic: Mapping[str, Traffic]
    hits: Mapping[bytes, int]


class Tally:
    """Counts until what was counted is taken away."""

    def __init__(self) -> None:
        self._traffic: defaultdict[str, Traffic] = defaultdict(Traffic)
        self._hits: Counter[bytes] = Counter()

    def count(self, served: CacheHit | NewEntry) -> None:
        """Count one request."""
        self._traffic[served.key.pipeline] += Traffic.of(served)
        if isinstance(served, CacheHit):
            self._hits[served.key.digest] += 1

    def take(self) -> Counted:
        """What was counted since the last time."""
        counted = Counted(dict(self._traffic), dict(self._hits))
        self._traffic.clear()
        self._hits.clear()
        return counted

    def put_back(self, counted: Counted) -> None:
        """Count again what could not be noted."""
        for pipeline, traffic in counted.traffic.items():
            self._traffic[pipeline] += traffic
        self._hits.update(counted.hits)
