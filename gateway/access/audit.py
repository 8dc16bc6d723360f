"""The audit log: who did what to which job. Kept in a file where there is no database."""

import asyncio
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from errno import ENOSPC
from io import SEEK_END, FileIO
from pathlib import Path
from typing import Protocol
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.settings import Settings

_log = get_logger(__name__)


@dataclass(frozen=True)
class AuditEntry:
    """One act. `target` is the method and path of the request; `code` says why it was refused, if it was."""

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

    def matches(self, entry: AuditEntry) -> bool:
        """Whether to list an entry."""
        return (
            self.job_id in (None, entry.job_id)
            and self.caller in (None, entry.caller)
            and self.tenant in (None, entry.tenant)
        )


class AuditLog(Protocol):
    """Entries, which are never changed. Every method raises Problem `store_unavailable`."""

    async def note(self, entry: AuditEntry) -> None:
        """Keep an entry."""

    async def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """Entries, the newest first."""

    async def prune(self, days: int) -> int:
        """Remove some entries that are older than so many days. Returns how many; 0 when none is left."""


_ENTRY = TypeAdapter(AuditEntry)


class FileAudit(AuditLog):
    """Entries in `access/audit.jsonl` below MASKWRIGHT_HOME, one JSON object a line."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.maskwright_home / "access" / "audit.jsonl"

    @override
    async def note(self, entry: AuditEntry) -> None:
        await asyncio.to_thread(self._append, _ENTRY.dump_json(entry) + b"\n")

    @override
    async def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        return await asyncio.to_thread(self._read, wanted)

    @override
    async def prune(self, days: int) -> int:
        """Remove nothing: the owner of the file may move it away at any time."""
        return 0

    def _append(self, line: bytes) -> None:
        try:
            with open(self._path, "a+b", buffering=0, opener=private_opener) as file:
                line = b"\n" + line if _ends_amid_line(file) else line
                written = file.write(line)
        except OSError as error:
            raise Problem("store_unavailable", f"{self._path.name}: {error.strerror}") from error
        if written < len(line):
            raise Problem("store_unavailable", f"{self._path.name}: {os.strerror(ENOSPC)}")

    def _read(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        try:
            newest = deque((entry for entry in self._undamaged() if wanted.matches(entry)), maxlen=wanted.limit)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Problem("store_unavailable", f"{self._path.name}: {error.strerror}") from error
        return tuple(reversed(newest))

    def _undamaged(self) -> Iterator[AuditEntry]:
        """All entries, without lines that a full disk or a crash cut short."""
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield _ENTRY.validate_json(line)
                except ValidationError:
                    _log.warning(f"{self._path}: line {number} is damaged")


def _ends_amid_line(file: FileIO) -> bool:
    if not file.seek(0, SEEK_END):
        return False
    file.seek(-1, SEEK_END)
    return file.read(1) != b"\n"


def private_opener(path: str, flags: int) -> int:
    """An opener for `open`: it makes the folder, and MASKWRIGHT_HOME above it; only their owner can read the file.

    The owner is the gateway's account, even if root started the stack and runs a command. `maskwright up` refuses a
    MASKWRIGHT_HOME that a group may write to.
    """
    folder = Path(path).parent
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    opened = os.open(path, flags | os.O_NOFOLLOW, 0o600)
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(opened, owner.st_uid, owner.st_gid)
    return opened
