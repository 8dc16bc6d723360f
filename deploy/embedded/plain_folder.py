"""A folder with a plain path, for programs that cannot take any other.

Triton starts its python stub by a shell command in which no path is quoted, and the stub reads its paths as ASCII.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.embedded.errors import StackError

_PLAIN = re.compile(r"/[A-Za-z0-9/._+-]*")
"""Needs no quoting in a shell, and splits neither PATH nor LD_LIBRARY_PATH."""
_HOME = "home"


def plain_folder(home: Path) -> Path:
    """The folder `plain` in `home`; where that path is not plain, it is a link to one that nobody else can enter.

    The link is kept, so that the next start finds the same folder. Raises StackError where there is no place for one.
    """
    folder = home / "plain"
    if _PLAIN.fullmatch(str(folder)):
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder
    if not (folder.is_symlink() and _is_ours(folder.readlink(), home)):
        remove_plain_folder(home)
        folder.symlink_to(_make(home))
    return folder.readlink()


def remove_plain_folder(home: Path) -> None:
    """Remove what `plain_folder` made, where it is still ours."""
    folder = home / "plain"
    if folder.is_symlink():
        target = folder.readlink()
        folder.unlink()
        if _is_ours(target, home):
            shutil.rmtree(target, ignore_errors=True)
    elif folder.is_dir():
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def keeping_from_sweeps(folder: Path) -> Iterator[None]:
    """Hold a lock on it: systemd-tmpfiles passes over a locked folder, however old its files are."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def put_link(link: Path, target: Path) -> None:
    """Make or change a symbolic link; at no time is there none."""
    draft = link.with_name(f"{link.name}.part")
    draft.unlink(missing_ok=True)
    draft.symlink_to(target)
    draft.replace(link)


def shared_folder() -> Path:
    """A folder for temporary ones: its path is plain, and what we make there is safe. Raises StackError."""
    for folder in _shared_folders():
        if _PLAIN.fullmatch(str(folder)) and _is_safe(folder):
            return folder
    raise StackError(
        "Maskwright's path has other characters than A-Z, a-z, 0-9 and ._+-, so it must run programs from a temporary "
        "folder, and there is none for that; set TMPDIR to one with a plain path, or move Maskwright"
    )


def _make(home: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="maskwright-", dir=shared_folder()))
    (folder / _HOME).symlink_to(home)
    return folder


def _shared_folders() -> Iterator[Path]:
    """Where old files are swept late first: XDG_RUNTIME_DIR goes when its user logs out."""
    if os.environ.get("TMPDIR"):
        yield Path(os.environ["TMPDIR"])
    yield from map(Path, ("/var/tmp", "/tmp", "/dev/shm"))  # noqa: S108 - mkdtemp makes a name that nobody can guess


def _is_safe(parent: Path) -> bool:
    """Whether we can make programs there, and nobody else can rename them: its owner could, and root can anywhere."""
    try:
        found = parent.stat()
        runs = not os.statvfs(parent).f_flag & os.ST_NOEXEC
    except OSError:
        return False
    closed = not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or bool(found.st_mode & stat.S_ISVTX)
    return found.st_uid in {0, os.geteuid()} and closed and runs and os.access(parent, os.W_OK | os.X_OK)


def _is_ours(folder: Path, home: Path) -> bool:
    """Whether it is the folder that was made for this home: a copied checkout has a copy of the link."""
    try:
        found = folder.lstat()
        linked = (folder / _HOME).readlink()
    except OSError:
        return False
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IRWXO)
    return private and found.st_uid == os.geteuid() and linked == home
