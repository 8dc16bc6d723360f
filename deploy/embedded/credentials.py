"""Passwords of the embedded servers."""

import json
import os
import secrets
import stat
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deploy.embedded.errors import StackError

_BYTES = 24


@dataclass(frozen=True)
class Credentials:
    """What PostgreSQL and S3 are logged into with; PostgreSQL's administrator is the launcher alone."""

    postgres_password: str
    s3_access_key: str
    s3_secret_key: str
    postgres_admin_password: str = ""

    @classmethod
    def kept(cls, path: Path) -> "Credentials":
        """Those in the file; made at random and written there, for its owner's eyes alone, where there is none.

        A former version had no administrator: the file gets one. Raises StackError where it holds something else, or
        may be another user's work.
        """
        if not path.exists():
            _write(cls(_password(), secrets.token_hex(10), _password(), _password()), path, path.hardlink_to)
        _require_ours(path)
        try:
            kept = TypeAdapter(cls).validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise _unreadable(path) from error
        if not kept.postgres_admin_password:
            kept = replace(kept, postgres_admin_password=_password())
            _write(kept, path, lambda draft: draft.replace(path))
        return kept


def _write(credentials: Credentials, path: Path, put: Callable[[Path], object]) -> None:
    """In one step, never readable by others; `put` gives the draft its name, which may be taken meanwhile."""
    draft = path.with_suffix(f".{os.getpid()}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(credentials), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    try:
        put(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _password() -> str:
    return secrets.token_urlsafe(_BYTES)


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
