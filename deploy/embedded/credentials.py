"""Passwords of the embedded servers."""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from deploy.embedded.errors import StackError
from gateway.settings.files import read_short

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

        A former version had no administrator: the file gets one. Raises StackError where it holds something else. That
        nobody else has made it, `Folders.require_ours` sees.
        """
        if not path.exists():
            _write(cls(_password(), secrets.token_hex(10), _password(), _password()), path, path.hardlink_to)
        try:
            kept = TypeAdapter(cls).validate_json(read_short(path))
        except (OSError, ValueError) as error:
            remedy = "restore it, or remove it together with the data folder"
            raise StackError(f"{path} cannot be read; {remedy}") from error
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
