"""Who did what to which job."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True)
class AuditEntry:
    """One act. `target` is the method and the path that it came by; `code` is why it was refused."""

    at: datetime
    caller: str
    tenant: str
    action: str
    job_id: UUID | None
    target: str
    code: str | None
    request_id: str


@dataclass(frozen=True)
class AuditFilter:
    """Which entries to list, the newest first."""

    job_id: UUID | None = None
    caller: str | None = None
    tenant: str | None = None
    limit: int = 50


class AuditLog(Protocol):
    """Entries, which nobody changes. Every method raises Problem `store_unavailable`."""

    async def note(self, entry: AuditEntry) -> None:
        """Keep an entry."""

    async def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """Entries, the newest first."""

    async def prune(self, days: int) -> int:
        """Remove some of the entries that are older; how many, none when no more are left."""


def matches(entry: AuditEntry, wanted: AuditFilter) -> bool:
    """Whether an entry is wanted."""
    return (
        wanted.job_id in (None, entry.job_id)
        and wanted.caller in (None, entry.caller)
        and wanted.tenant in (None, entry.tenant)
    )
