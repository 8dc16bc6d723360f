"""Under which key an object is kept.

Deterministic, so that a job done twice writes the same objects; and readable: an ordinary user id, request id and
name stand in the key as they are.
"""

import hashlib
from urllib.parse import quote
from uuid import UUID

_SAFE = "@:"
_NO_USER = "_"
_TENANT_MARK = "!"
"""Never in a quoted text."""
_PARAMETERS = ".parameters"
_SEGMENT_BYTES = 255
"""A file system's limit on a name, which MinIO and SeaweedFS pass on.

Three segments, and a tenant of 63 characters before them, stay below S3's 1024 bytes.
"""


def artifact_key(user_id: str, request_id: str, name: str, tenant: str = "") -> str:
    """`user/request/name`, each percent-quoted, below what the tenant's keys begin with.

    No two different artifacts share a key.
    """
    return f"{tenant_prefix(tenant)}{segment(user_id)}/{segment(request_id)}/{segment(name)}"


def tenant_prefix(tenant: str) -> str:
    """What the keys of a tenant's artifacts begin with, and no other tenant's; nothing for the empty tenant."""
    return f"{_TENANT_MARK}{tenant}/" if tenant else ""


def is_of_tenant(key: str, tenant: str) -> bool:
    """Whether an object may be read by a tenant: by its key it is that tenant's own."""
    return tenant_of(key) == tenant


def tenant_of(key: str) -> str:
    """The tenant whose own an object is by its key; empty for those of none."""
    return key[len(_TENANT_MARK) :].partition("/")[0] if key.startswith(_TENANT_MARK) else ""


def segment(text: str) -> str:
    """A text as one part of a key; `_` for the empty one."""
    if not text:
        return _NO_USER
    misread = text == _NO_USER or not text.strip(".")
    quoted = _quoted_through(text) if misread else quote(text, safe=_SAFE)
    return quoted if len(quoted) <= _SEGMENT_BYTES else _digest(text)


def photo_key(job_id: UUID) -> str:
    """A job's photo, in the bucket of photos."""
    return str(job_id)


def parameters_key(job_id: UUID) -> str:
    """A job's parameters, in the bucket of photos, where they are too large for the queue."""
    return f"{job_id}{_PARAMETERS}"


def owner_of(key: str) -> UUID | None:
    """The job whose photo or parameters a key of that bucket is; None for what others keep there."""
    try:
        return UUID(key.removesuffix(_PARAMETERS))
    except ValueError:
        return None


def _quoted_through(text: str) -> str:
    """Every character quoted, for what would be read as no user or as a step up the path."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _digest(text: str) -> str:
    """A fixed length for what is too long; `=` is never in a quoted text."""
    return f"={hashlib.sha256(text.encode()).hexdigest()}"
