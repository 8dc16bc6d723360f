"""Keeps Triton's python stub among plain paths.

The stub reads paths as ASCII, whatever the locale. All it imports lies under plain links (`triton_wheel.py`), but some
packages, OpenCV among them, resolve their own path and hand the result to C++, which takes no path with an accent.
"""

import os
import posixpath
from collections.abc import Mapping


def keep_plain(links: Mapping[str, str]) -> None:
    """Let os.path.realpath, which pathlib uses too, end at the links: what they lead to, and their own paths."""
    if all(target.isascii() for target in links):
        return
    resolve = posixpath.realpath
    nearest_first = sorted(links.items(), key=lambda link: -len(link[0]))

    def realpath(path: "os.PathLike[str] | str", *, strict: bool = False) -> str:
        resolved = resolve(path, strict=strict)
        for target, link in nearest_first:
            if resolved == target or str(resolved).startswith(f"{target}/"):
                return link + resolved[len(target) :]
        return resolved

    posixpath.realpath = realpath  # type: ignore[assignment]


def links_in(folder: str) -> Mapping[str, str]:
    """The links of a folder, by what they lead to."""
    paths = (entry.path for entry in os.scandir(folder) if entry.is_symlink())
    return {os.path.realpath(path): path for path in paths}
