"""What the running stack was started with, in a file that other shells' commands read.

`maskwright up` is given its variables once; a command in another shell would else speak of servers that are not used.
The file counts as long as its launcher runs, and goes with it.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

_WRITABLE_BY_OTHERS = 0o022


class KeptError(Exception):
    """The file is there, and must not be believed; the message says why."""


@dataclass(frozen=True)
class Kept:
    """The launcher's process id; the variables that it was given; the addresses and ports of what runs."""

    pid: int
    given: Mapping[str, str]
    running: Mapping[str, str]

    def write(self, home: Path) -> None:
        """Replace the file in one step, for its owner's eyes alone. Raises OSError, KeptError."""
        path = kept_file(home)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _require_ours(path.parent, path.parent.lstat(), stat.S_IFDIR)
        draft = path.with_suffix(f".{os.getpid()}.part")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)

    @classmethod
    def read(cls, home: Path) -> "Kept | None":
        """What the stack that runs in this folder was started with; None where none runs. Raises KeptError."""
        path = kept_file(home)
        try:
            _require_ours(path.parent, path.parent.lstat(), stat.S_IFDIR)
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise KeptError(f"{path} cannot be read: {error.strerror}") from error
        try:
            _require_ours(path, os.fstat(descriptor), stat.S_IFREG)
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                kept = _parsed(path, file.read())
        finally:
            os.close(descriptor)
        return kept if is_launcher(kept.pid, home) else None

    @staticmethod
    def remove(home: Path) -> None:
        """Forget it: its launcher ends."""
        kept_file(home).unlink(missing_ok=True)


def kept_file(home: Path) -> Path:
    """Where it lies, in a folder that only its owner may enter."""
    return home / "kept" / "settings.json"


def lock_file(home: Path) -> Path:
    """What the launcher of a stack holds open, and locked, as long as it runs."""
    return home / "lock"


def is_launcher(pid: int, home: Path) -> bool:
    """Whether a process is the launcher of the stack in this folder, whatever its command says: it holds the lock open.

    Of another user's process nothing can be known, so it is none.
    """
    try:
        lock = lock_file(home).stat()
        return any(_leads_to(descriptor, lock) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _leads_to(descriptor: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), file)
    except FileNotFoundError:  # closed meanwhile
        return False


def _require_ours(path: Path, found: os.stat_result, kind: int) -> None:
    """A stranger's file would send our photos, and our passwords, to a stranger's servers."""
    if stat.S_IFMT(found.st_mode) != kind:
        raise KeptError(f"{path} is not what `maskwright up` writes")
    if found.st_uid != os.geteuid():
        raise KeptError(f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}")
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise KeptError(f"others may write to {path}; take the right from them: chmod go-w {path}")


def _parsed(path: Path, text: bytes) -> Kept:
    try:
        return TypeAdapter(Kept).validate_json(text)
    except ValidationError as error:
        raise KeptError(f"{path} is not what this version of `maskwright up` writes") from error
