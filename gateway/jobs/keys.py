"""Under which key an object is kept.

Deterministic, so that a job done twice writes the same objects; and readable: an ordinary user id, request id and
name stand in the key as they are.
"""

import hashlib
from urllib.parse import quote
from uuid import UUID

_SAFE = "@:"
_NO_USER = "_"
_SEGMENT_BYTES = 255
"""A file system's limit on a name, which MinIO and SeaweedFS pass on; three segments stay below S3's 1024 bytes."""


def artifact_key(user_id: str, request_id: str, name: str) -> str:
    """`user/request/name`, each percent-quoted; no two different triples share a key."""
    return f"{_segment(user_id)}/{_segment(request_id)}/{_segment(name)}"


def photo_key(job_id: UUID) -> str:
    """A job's photo, in the bucket of photos."""
    return str(job_id)


def _segment(text: str) -> str:
    if not text:
        return _NO_USER
    misread = text == _NO_USER or not text.strip(".")
    quoted = _quoted_through(text) if misread else quote(text, safe=_SAFE)
    return quoted if len(quoted) <= _SEGMENT_BYTES else _digest(text)


def _quoted_through(text: str) -> str:
    """Every character quoted, for what would be read as no user or as a step up the path."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _digest(text: str) -> str:
    """A fixed length for what is too long; `=` is never in a quoted text."""
    return f"={hashlib.sha256(text.encode()).hexdigest()}"
