"""Files that settings come from: secrets, the blur pipeline's configuration, and what the stack was started with.

`maskwright up` is given its variables once, in one shell; it writes them to a file, so that commands in other shells
use the same servers. The file counts as long as its launcher runs, and is removed with it.
"""

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gateway.settings.fields import SettingsError, shown
from gateway.text import read_json

_MOST_BYTES = 2**20
"""Of a file of settings, or of a secret."""


def read_short(path: Path) -> bytes:
    """The content of a short file, or of a pipe that a shell made for a secret.

    Raises OSError; ValueError where it is long, or a pipe that nobody writes to.
    """
    waits = os.O_NONBLOCK if path.is_fifo() and not str(path.resolve()).startswith("/proc/") else 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | waits), "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it holds more than {_MOST_BYTES >> 20} MiB")
    if waits and not content:
        raise ValueError("it is a pipe that nobody writes to")
    return content


class _Aws(BaseModel):
    """Where its objects are."""

    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    region_name: str | None = None
    bucket_name: str | None = None


class _PipelineFile(BaseModel):
    """The blur pipeline's file; other members are ignored."""

    model_config = ConfigDict(strict=True)

    redis_url: str | None = None
    num_workers: int | None = None
    max_queue_size: int | None = None
    aws_config: _Aws = Field(default_factory=_Aws)

    def settings(self) -> Mapping[str, object]:
        """Its values, by the names of our settings."""
        aws = self.aws_config
        return {
            "redis_url": self.redis_url,
            "worker_processes": self.num_workers,
            "queue_max_size": self.max_queue_size,
            "minio_access_key": aws.aws_access_key_id,
            "minio_secret_key": aws.aws_secret_access_key,
            "minio_region": aws.region_name,
            "minio_bucket": aws.bucket_name,
        }


def file_settings(path: Path) -> dict[str, object]:
    """The values of the blur pipeline's file, by the settings' names. Raises SettingsError where it cannot be read."""
    return {name: value for name, value in _pipeline_file(path).settings().items() if value is not None}


def _pipeline_file(path: Path) -> _PipelineFile:
    said = f"PIPELINE_CONFIG={shown(str(path))}"
    try:
        return _PipelineFile.model_validate(read_json(read_short(path)))
    except OSError as error:
        raise SettingsError(f"{said}: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors())
        raise SettingsError(f"{said}: {wrong}") from error
    except ValueError as error:
        raise SettingsError(f"{said}: the file: Invalid JSON: {error}") from error


_WRITABLE_BY_OTHERS = 0o022


class KeptError(Exception):
    """The stack's file is there but must not be trusted; the message says why."""


@dataclass(frozen=True)
class Kept:
    """What a stack was started with: its launcher's process, the variables given, and the addresses of what runs."""

    pid: int
    given: Mapping[str, str]
    running: Mapping[str, str]

    def write(self, home: Path) -> None:
        """Replace the file in one step, readable for its owner alone. Raises OSError, KeptError."""
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
                kept = _stack_file(path, file.read())
        finally:
            os.close(descriptor)
        return kept if is_launcher(kept.pid, home) else None

    @staticmethod
    def remove(home: Path) -> None:
        """Remove the file, as its launcher ends."""
        kept_file(home).unlink(missing_ok=True)


def kept_file(home: Path) -> Path:
    """The stack's file, in a folder that only its owner may enter."""
    return home / "kept" / "settings.json"


def lock_file(home: Path) -> Path:
    """The file that a stack's launcher holds open and locked as long as it runs."""
    return home / "lock"


def is_launcher(pid: int, home: Path) -> bool:
    """Whether a process is the launcher of the stack in this folder: it holds the lock open.

    False for another user's process, as its open files cannot be seen.
    """
    try:
        lock = lock_file(home).stat()
        return any(_is_open_on(descriptor, lock) for descriptor in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _is_open_on(descriptor: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), file)
    except FileNotFoundError:  # closed meanwhile
        return False


def _require_ours(path: Path, found: os.stat_result, kind: int) -> None:
    """Raise KeptError where others could have written it: they could send photos and passwords to their servers."""
    if stat.S_IFMT(found.st_mode) != kind:
        raise KeptError(f"{path} is not what `maskwright up` writes")
    if found.st_uid != os.geteuid():
        raise KeptError(f"{path} belongs to user {found.st_uid}, and this is user {os.geteuid()}")
    if found.st_mode & _WRITABLE_BY_OTHERS:
        raise KeptError(f"others may write to {path}; take the right from them: chmod go-w {path}")


def _stack_file(path: Path, text: bytes) -> Kept:
    try:
        return TypeAdapter(Kept).validate_json(text)
    except ValidationError as error:
        raise KeptError(f"{path} is not what this version of `maskwright up` writes") from error
