"""Keep Triton's python stub on plain paths.

The stub reads paths as ASCII, whatever the locale. All it imports is below plain links (`triton_wheel.py`). But some
packages, OpenCV among them, resolve their own path and pass the result to C++, which accepts no path with an accent.
"""

import os
import posixpath
from collections.abc import Mapping


def keep_plain(links: Mapping[str, str]) -> None:
    """Let os.path.realpath, which pathlib uses too, stop at the links and at the paths that they lead to."""
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
    """The links of a folder, by their targets."""
    paths = (entry.path for entry in os.scandir(folder) if entry.is_symlink())
    return {os.path.realpath(path): path for path in paths}
