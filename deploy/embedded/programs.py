"""PostgreSQL's programs, at a place where the user that runs them can."""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from deploy.embedded import StackError
from deploy.embedded.rights import Account, servers_of

_STABLE = tuple(Path(parent, "maskwright-programs") for parent in ("/var/lib", "/opt", "/usr/local/lib"))
"""Where root keeps copies while a stack runs; not /tmp, whose files are swept away when they are old."""
_PASSING = tuple(map(Path, ("/var/tmp", "/tmp", "/dev/shm")))  # noqa: S108 - folders with random names are made there
_SHELL_CHARACTERS = re.compile(r'["$`\\]')
_FOLDER_MODE = 0o755
_FILE_MODE = 0o644
_ENTERED = 0o005
_PATIENCE_S = 5.0


class Programs:
    """The folder `bin` of the installed programs, and of copies for one stack, whose home folder is given."""

    def __init__(self, installed: Path, home: Path) -> None:
        self._installed = installed
        self._home = home
        self._account = servers_of(home)
        self._found: Path | None = None

    @property
    def libraries(self) -> Path:
        """What the installed programs are below, with their libraries."""
        return self._installed.parents[2]

    def to_run(self) -> Path:
        """Where the server runs from: as installed, or, where its user cannot come there, a copy.

        A capability that opens closed folders is no help: the programs ask access(2), which passes it over. Raises
        StackError where no copy can be run either. What was found stays until `remove_copy`.
        """
        if self._found is None:
            self._found = self._installed if _runs(self._installed, self._account) else self._kept_copy()
        return self._found

    def _kept_copy(self) -> Path:
        if not self._account.is_other:
            raise StackError(
                f"this user cannot run PostgreSQL, {self._installed}/postgres: "
                "install Maskwright anew, or give POSTGRES_DSN"
            )
        self.remove_copy()
        for folder in _STABLE:
            if _made(folder) and (copy := self._running_copy(folder / _copy_name(self._home))):
                return copy
        raise StackError(
            f"PostgreSQL does not run as root, and user {self._account.uid} cannot run {self._installed}/postgres, "
            f"nor a copy in {', '.join(map(str, _STABLE))}; run as another user, or give POSTGRES_DSN"
        )

    def remove_copy(self) -> None:
        """Remove the copy, if there is one."""
        self._found = None
        remove_copy(self._home)

    @contextmanager
    def to_initialise(self) -> Iterator[Path]:
        """Where initdb runs from: like the server, or else a passing copy.

        initdb puts its path into a line of shell in double quotes, and gives up where its user has no name.
        """
        programs = self.to_run()
        if self._account.has_name() and not _SHELL_CHARACTERS.search(str(programs)):
            yield programs
            return
        for place in _PASSING:
            with _passing(place) as folder:
                if folder is not None and (copy := self._running_copy(folder / "postgres")):
                    if not self._account.has_name():
                        _ask_no_name(copy)
                    yield copy
                    return
        raise StackError(f"initdb cannot run from a copy in any of {', '.join(map(str, _PASSING))}")

    def _running_copy(self, target: Path) -> Path | None:
        """A copy; None, and nothing left, where there is no room for one or it does not run."""
        with contextlib.suppress(OSError):
            if _runs(copy := self._copied(target), self._account):
                return copy
        shutil.rmtree(target, ignore_errors=True)
        return None

    def _copied(self, target: Path) -> Path:
        """A copy that all users may run, with the libraries beside the package; links to what they may read already."""
        package = self._installed.parents[1]
        libraries = package.with_name(f"{package.name}.libs")
        root = self._installed.parent
        put = _link if self._found == self._installed else _copy
        for name in ("bin/postgres", "bin/initdb"):
            _copy(root / name, target / package.name / root.name / name)
        for name in ("lib", "share"):
            put(root / name, target / package.name / root.name / name)
        put(libraries, target / libraries.name)
        for path in (target, *target.rglob("*")):
            if not path.is_symlink():
                path.chmod(_FOLDER_MODE if path.is_dir() or path.parent.name == "bin" else _FILE_MODE)
        programs = target / package.name / root.name / "bin"
        wait_for_writers(programs)
        return programs


def remove_copy(home: Path) -> None:
    """Remove the copy for the stack of this home folder, if there is one."""
    for folder in _STABLE if os.geteuid() == 0 else ():
        if (folder / _copy_name(home)).is_dir() and _is_ours(folder):
            shutil.rmtree(folder / _copy_name(home))


def _copy_name(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:16]


def _runs(programs: Path, user: Account) -> bool:
    """Whether the user can run them, and read what lies beside them."""
    script = '"$1/postgres" --version && test -x "$1/initdb" && test -r "$1/../share/postgresql/postgres.bki"'
    return user.succeeds(script, programs)


def _made(folder: Path) -> bool:
    """Make it where it is missing; whether copies can be kept there."""
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(_FOLDER_MODE)
        return _is_ours(folder) and folder.stat().st_mode & _ENTERED == _ENTERED
    except OSError:
        return False


def _is_ours(folder: Path) -> bool:
    """Whether nobody but root can have put anything there."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == 0 and not found.st_mode & 0o022


@contextmanager
def _passing(place: Path) -> Iterator[Path | None]:
    try:
        folder = Path(tempfile.mkdtemp(prefix="maskwright-", dir=place))
    except OSError:
        yield None
        return
    try:
        folder.chmod(_FOLDER_MODE)
        yield folder
    finally:
        shutil.rmtree(folder)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    elif source.exists():
        shutil.copyfile(source, target)


def _link(source: Path, target: Path) -> None:
    if source.exists():
        target.symlink_to(source)


def _ask_no_name(programs: Path) -> None:
    """Make initdb, and the server that it runs, work for a user without a name.

    Both ask getpwuid(3) for the name of their user, end where there is none, and use it for nothing that we do not
    give. In this copy they ask getpwent(3), which has a name of the same length, and names any user.
    """
    for name in ("initdb", "postgres"):
        program = programs / name
        program.write_bytes(program.read_bytes().replace(b"\0getpwuid\0", b"\0getpwent\0"))
    wait_for_writers(programs)


def wait_for_writers(programs: Path) -> None:
    """Wait until nobody has the programs open to write to them: till then the system runs none ("Text file busy").

    We have closed them, but whatever another thread starts at that moment has what we had open, until it has begun.
    """
    end = time.monotonic() + _PATIENCE_S
    for name in ("initdb", "postgres"):
        with (programs / name).open("rb") as program, contextlib.suppress(OSError):  # a file system without leases
            while not _leased(program) and time.monotonic() < end:
                time.sleep(0.01)


def _leased(program: BinaryIO) -> bool:
    """Whether it can be leased for reading: fcntl(2) gives that to nobody while there is a writer. Raises OSError."""
    try:
        fcntl.fcntl(program, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return False
    fcntl.fcntl(program, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True
