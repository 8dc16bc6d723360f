"""Trace ids, as the W3C's Trace Context writes them (https://www.w3.org/TR/trace-context/)."""

import re
from uuid import UUID

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")


def trace_id_of(traceparent: str) -> str | None:
    """The 32 hex digits of a `traceparent` header; None where it is not one."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    return match.group(1) if match else None


def traceparent(trace_id: str, job_id: UUID) -> str:
    """The header of what a job sends; the job itself is the parent."""
    return f"00-{trace_id}-{job_id.hex[:16]}-01"
