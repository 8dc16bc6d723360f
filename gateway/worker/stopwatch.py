"""How long each stage of a job took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Milliseconds by stage; a stage that is timed twice adds up."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}

    @property
    def timings_ms(self) -> dict[str, float]:
        """Rounded to a tenth."""
        return {stage: round(duration, 1) for stage, duration in self._ms.items()}

    def add(self, stage: str, duration_s: float) -> None:
        """Count time that was measured elsewhere."""
        self._ms[stage] = self._ms.get(stage, 0.0) + max(0.0, duration_s) * 1000

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, whether it succeeds or not."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - start)
