"""A result as bytes and columns, whatever keeps it."""

import json

from gateway.cache.cache import CachedResult, NewEntry, Status

_COLUMNS_BYTES = 500
"""What an entry takes beside its content, about."""


def status_of(value: CachedResult) -> Status:
    """The word for how it went."""
    return "FAILURE" if value.failure else "SUCCESS"


def result_text(value: CachedResult) -> str:
    """The model's result object as JSON."""
    return json.dumps(dict(value.result), separators=(",", ":"))


def size_of(entry: NewEntry) -> int:
    """Bytes that an entry takes."""
    landmarks = len(entry.likeness.landmarks) if entry.likeness else 0
    artifacts = sum(len(artifact.data) for artifact in entry.value.artifacts)
    return artifacts + len(result_text(entry.value)) + landmarks + _COLUMNS_BYTES


def regions_of(value: CachedResult) -> int | None:
    """How many regions all faces of a result have; None where it is not about faces."""
    faces = value.result.get("faces")
    if not isinstance(faces, list):
        return None
    return sum(len(face.get("regions") or ()) for face in faces if isinstance(face, dict))
