"""Keys and the audit log in files, where there is no database: of one machine."""

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from errno import ENOSPC
from fcntl import LOCK_EX, flock
from io import SEEK_END, FileIO
from pathlib import Path
from secrets import token_bytes

from pydantic import TypeAdapter, ValidationError

from gateway.access.audit import AuditEntry, AuditFilter, AuditLog, matches
from gateway.access.keys import ApiKey, KeyBook
from gateway.errors import Problem
from gateway.logs import get_logger
from gateway.settings import Settings

_FOLDER = "access"
_KEYS = TypeAdapter(tuple[ApiKey, ...])
_ENTRY = TypeAdapter(AuditEntry)
_PRIVATE = 0o600

_log = get_logger(__name__)


class FileKeys(KeyBook):
    """Keys in `access/keys.json` below MASKWRIGHT_HOME."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.maskwright_home / _FOLDER / "keys.json"
        self._secret = token_bytes(32)

    async def add(self, key: ApiKey) -> None:
        """Keep a new key."""
        await asyncio.to_thread(self._change, lambda keys: (key, *keys))

    async def find(self, key_id: str) -> ApiKey | None:
        """One key."""
        return next((key for key in await self.all() if key.id == key_id), None)

    async def all(self) -> Sequence[ApiKey]:
        """Every key, the newest first."""
        return await asyncio.to_thread(self._read)

    async def secret(self) -> bytes:
        """This process's: no other has the jobs that are kept with it."""
        return self._secret

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key."""
        now, before = datetime.now(UTC), await self.all()
        revoked = {key.id: replace(key, revoked_at=now) for key in before if key.id == key_id and not key.revoked_at}
        if revoked:
            await asyncio.to_thread(self._change, lambda keys: tuple(revoked.get(key.id, key) for key in keys))
        return bool(revoked)

    def _read(self) -> tuple[ApiKey, ...]:
        try:
            return _KEYS.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            raise Problem("store_unavailable", f"{self._path.name} cannot be read.") from error

    def _change(self, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]) -> None:
        """One process at a time; readers see the file as it was, or as it is then, also after a crash."""
        try:
            _make(self._path.parent)
            with open(self._path.with_suffix(".lock"), "w", opener=_private, encoding="utf-8") as lock:
                flock(lock, LOCK_EX)
                new = self._path.with_suffix(".new")
                with open(new, "wb", opener=_private) as file:
                    file.write(_KEYS.dump_json(change(self._read()), indent=1))
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self._path)
        except OSError as error:
            raise Problem("store_unavailable", f"{self._path.name}: {error.strerror}") from error


class FileAudit(AuditLog):
    """Entries in `access/audit.jsonl` below MASKWRIGHT_HOME, one JSON object a line."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.maskwright_home / _FOLDER / "audit.jsonl"

    async def note(self, entry: AuditEntry) -> None:
        """Append a line."""
        await asyncio.to_thread(self._append, _ENTRY.dump_json(entry) + b"\n")

    async def entries(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """Entries, the newest first."""
        return await asyncio.to_thread(self._read, wanted)

    async def prune(self, _days: int) -> int:
        """None: whoever has the file may move it away, and keep it for as long as he likes."""
        return 0

    def _append(self, line: bytes) -> None:
        try:
            _make(self._path.parent)
            with open(self._path, "a+b", buffering=0, opener=_private) as file:
                line = b"\n" + line if _is_torn(file) else line
                written = file.write(line)
        except OSError as error:
            raise Problem("store_unavailable", f"{self._path.name}: {error.strerror}") from error
        if written < len(line):
            raise Problem("store_unavailable", f"{self._path.name}: {os.strerror(ENOSPC)}")

    def _read(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        try:
            with self._path.open("rb") as file:
                newest = deque((entry for entry in self._whole(file) if matches(entry, wanted)), maxlen=wanted.limit)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise Problem("store_unavailable", f"{self._path.name}: {error.strerror}") from error
        return tuple(reversed(newest))

    def _whole(self, lines: Iterable[bytes]) -> Iterator[AuditEntry]:
        """All but the lines that a full disk or a crash cut short."""
        for number, line in enumerate(lines, 1):
            if (entry := _entry_of(line)) is None:
                _log.warning(f"{self._path}: line {number} is damaged")
            else:
                yield entry


def _entry_of(line: bytes) -> AuditEntry | None:
    try:
        return _ENTRY.validate_json(line)
    except ValidationError:
        return None


def _is_torn(file: FileIO) -> bool:
    """Whether the last line has no end."""
    if not file.seek(0, SEEK_END):
        return False
    file.seek(-1, SEEK_END)
    return file.read(1) != b"\n"


def _make(folder: Path) -> None:
    """Closed to others, and so is MASKWRIGHT_HOME above it: `maskwright up` refuses one that a group may write to."""
    for each in (folder.parent, folder):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)


def _private(path: str | Path, flags: int) -> int:
    """Readable by the folder's owner alone: the gateway, where root started the stack and runs this command."""
    opened = os.open(path, flags | os.O_NOFOLLOW, _PRIVATE)
    if os.geteuid() == 0:
        folder = Path(path).parent.stat()
        os.fchown(opened, folder.st_uid, folder.st_gid)
    return opened
