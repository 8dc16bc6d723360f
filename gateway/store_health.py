"""Whether the stores answer, found out by asking them."""

import asyncio
from dataclasses import dataclass

from gateway.jobs.objects import Bucket
from gateway.jobs.store import QueueCounts
from gateway.patience import answer_within
from gateway.stores import Stores

_FRESH_S = 1.0
_ASK_S = 2.0
"""How long a store is waited for: probes themselves give up after some seconds."""


@dataclass(frozen=True)
class StoreHealth:
    """The queue's counts, None where the database does not answer, and why; whether both buckets do."""

    counts: QueueCounts | None
    buckets: bool
    fault: str = ""

    @property
    def ready(self) -> bool:
        """Whether jobs can be taken in."""
        return self.counts is not None and self.buckets


class StoreProber:
    """Asks at most once a second, however many want to know."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self._lock = asyncio.Lock()
        self._taken_at = float("-inf")
        self._health = StoreHealth(None, buckets=False)

    async def health(self) -> StoreHealth:
        """What the last second's question said, or a new one's answer."""
        async with self._lock:
            clock = asyncio.get_running_loop().time
            if clock() - self._taken_at > _FRESH_S:
                self._health = await self._ask()
                self._taken_at = clock()
            return self._health

    async def _ask(self) -> StoreHealth:
        counts, photos, artifacts = await asyncio.gather(
            answer_within(_ASK_S, self._stores.jobs.counts()),
            answer_within(_ASK_S, _answers(self._stores.photos)),
            answer_within(_ASK_S, _answers(self._stores.artifacts)),
        )
        fault = "" if counts else self._stores.database_fault() or f"no answer within {_ASK_S:g} s"
        return StoreHealth(counts, bool(photos and artifacts), fault)


async def _answers(bucket: Bucket) -> bool:
    """True, or a Problem."""
    await bucket.check()
    return True
