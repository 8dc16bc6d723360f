"""What an inference gives: artifacts and a result, or a failure; and how long each stage of it took."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

MEDIA_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".heic": "image/heic",
    ".avif": "image/avif",
    ".tiff": "image/tiff",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


@dataclass(frozen=True)
class Artifact:
    """A named file, such as `person_0/dress_mask.png`."""

    name: str
    data: bytes

    @property
    def media_type(self) -> str:
        """Content type by the name's suffix."""
        return media_type(self.name)


@dataclass(frozen=True)
class InferenceResult:
    """The model's result object (status, photo, persons …) and its artifacts."""

    result: Mapping[str, object]
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True)
class Failure:
    """Why there is no result: a code of gateway.errors.PROBLEMS, and a sentence."""

    code: str
    detail: str


def media_type(name: str) -> str:
    """Content type of a file name; bytes of unknown kind for an unknown suffix."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")


class Stopwatch:
    """Milliseconds by stage of a request or job; a stage that is timed twice adds up."""

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
