"""Passwords of the embedded servers."""

import json
import os
import secrets
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deploy.embedded.errors import StackError

_BYTES = 24


@dataclass(frozen=True)
class Credentials:
    """What PostgreSQL and S3 are logged into with."""

    postgres_password: str
    s3_access_key: str
    s3_secret_key: str

    @classmethod
    def kept(cls, path: Path) -> "Credentials":
        """Those in the file; made at random and written there, for its owner's eyes alone, where there is none.

        Raises StackError where the file holds something else, or may be another user's work.
        """
        if not path.exists():
            made = cls(secrets.token_urlsafe(_BYTES), secrets.token_hex(10), secrets.token_urlsafe(_BYTES))
            made._write(path)
        _require_ours(path)
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise _unreadable(path) from error

    def _write(self, path: Path) -> None:
        """In one step, never readable by others, and never over one that another process has just written."""
        draft = path.with_suffix(f".{os.getpid()}.part")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()


def _unreadable(path: Path) -> StackError:
    return StackError(f"{path} cannot be read; restore it, or remove it together with the data folder")


def _require_ours(path: Path) -> None:
    """Whoever wrote the passwords of our servers can log into them."""
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path) from error
    if not stat.S_ISREG(found.st_mode):
        raise _unreadable(path)
    if found.st_uid not in {0, os.geteuid()} or found.st_mode & stat.S_IWOTH:
        raise StackError(
            f"{path} is another user's, or others may write to it: who made these passwords is not known; remove it "
            "together with the data folder, or make it yours (chown, chmod 600)"
        )
