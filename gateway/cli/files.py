"""Artifacts as files."""

from pathlib import Path, PurePosixPath


def write_artifact(folder: Path, name: str, content: bytes) -> Path:
    """The file written; a server's name may not leave the folder. Raises OSError."""
    parts = PurePosixPath(name).parts
    if ".." in parts or PurePosixPath(name).is_absolute():
        raise PermissionError(1, "artifact outside the folder", name)
    path = folder.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
