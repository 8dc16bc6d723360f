"""The code that makes results, as far as it lies beside the gateway."""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_PACKAGES = ("steps", "vision")


@lru_cache(maxsize=1)
def code_digest() -> str:
    """A SHA-256, in hexadecimal digits, over the packages that Triton's models run, as this process found them."""
    specs = (find_spec(package) for package in _PACKAGES)
    return source_digest(Path(place) for spec in specs if spec for place in spec.submodule_search_locations or ())


def source_digest(folders: Iterable[Path]) -> str:
    """A SHA-256 over the folders' Python files and their names."""
    sha = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            content = path.read_bytes()
            sha.update(f"{path.relative_to(folder.parent).as_posix()}\0{len(content)}\0".encode() + content)
    return sha.hexdigest()
