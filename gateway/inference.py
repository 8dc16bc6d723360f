"""Inferences, each in its turn."""

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from gateway.cache.cache import CachedResult
from gateway.cache.keys import Work
from gateway.cache.results import computed
from gateway.deadlines import Deadline
from gateway.results import Stopwatch
from gateway.triton import Triton


@dataclass(frozen=True)
class Inferences:
    """Triton; and `turn`, a wait for the turn to ask it, which is held while the context lasts."""

    triton: Triton
    turn: Callable[[Deadline], AbstractAsyncContextManager[None]]

    async def compute(self, work: Work, deadline: Deadline, watch: Stopwatch, waiting: str) -> CachedResult:
        """A result, or why there will never be one; `watch` times the wait for a turn, as `waiting`, and `infer`.

        Raises Problem where there may be a result later.
        """
        came = time.monotonic()
        async with self.turn(deadline):
            watch.add(waiting, time.monotonic() - came)
            model = work.pipeline.model_for(work.parameters)
            with watch.stage("infer"):
                return await computed(lambda: self.triton.infer(model, work.photo, work.parameters, deadline))
