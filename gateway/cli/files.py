"""Artifacts as files, and names of files on a terminal."""

import secrets
from pathlib import Path

from gateway.cli.photos import PhotoFile


def write_artifact(photo: PhotoFile, name: str, content: bytes) -> Path:
    """The file written, whole or not at all; a link that lies there is replaced, not followed. Raises OSError."""
    path = photo.place(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def shown(text: str) -> str:
    """The text on one line: what would break it, or speak to the terminal, is escaped."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
