"""What an inference gives back, or why it failed."""

from collections.abc import Mapping
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
    """Why a job failed: a code of gateway.problems.PROBLEMS, and a sentence."""

    code: str
    detail: str


def media_type(name: str) -> str:
    """Content type of a file name; bytes of unknown kind for an unknown suffix."""
    return MEDIA_TYPES.get(PurePosixPath(name).suffix, "application/octet-stream")
