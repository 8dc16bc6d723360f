"""Where the embedded stack keeps its files, and that they are nobody else's."""

import os
import shlex
import stat
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded import account
from deploy.embedded.account import Account, name_of
from deploy.embedded.errors import StackError
from gateway.settings.files import lock_file

CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Folders:
    """Paths under one home folder, `MASKWRIGHT_HOME`."""

    home: Path

    @property
    def logs(self) -> Path:
        """One log file a service."""
        return self.home / "logs"

    @property
    def state(self) -> Path:
        """The running stack's state, JSON."""
        return self.home / "stack.json"

    @property
    def lock(self) -> Path:
        """Locked for as long as a launcher runs."""
        return lock_file(self.home)

    @property
    def triton(self) -> Path:
        """What Triton is started on: backends and generated model folders."""
        return self.home / "triton"

    @property
    def data(self) -> Path:
        """What the servers keep, one folder each."""
        return self.home / "data"

    @property
    def secrets(self) -> Path:
        """The embedded servers' passwords, JSON."""
        return self.home / "secrets.json"

    @property
    def access(self) -> Path:
        """Keys and the audit log of callers, where there is no database; the gateway's."""
        return self.home / "access"

    @property
    def servers(self) -> Account:
        """The user of every server but Triton."""
        return account.servers_of(self.home)

    @property
    def decoder(self) -> Account:
        """The user of Triton."""
        return account.triton_of(self.home)

    @property
    def own_users(self) -> Collection[int]:
        """The numbers of users that are this stack's alone; none where it runs as who started it."""
        return {user.uid for user in self._users() if user.is_other}

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.logs / f"{service}.log"

    def scratch(self, user: Account) -> Path:
        """The folder in which a user's processes keep what is temporary."""
        return self.home / "tmp" / ("triton" if user == self.decoder else "servers")

    @classmethod
    def at(cls, named: Path) -> "Folders":
        """Those below a path as it is set. Raises StackError where another user has laid a link there."""
        if named.is_symlink() and (owner := named.lstat().st_uid) not in {0, os.geteuid()}:
            raise StackError(
                f"{named} is a link that user {name_of(owner)} made; set MASKWRIGHT_HOME to another folder"
            )
        return cls(named.resolve())

    def create(self) -> None:
        """Make the folders that are missing, and close all to other users. Raises StackError where one is not ours."""
        self.require_ours()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        between, servers = self.home / "tmp", self.servers
        servers.pass_through(self.home)
        for folder in (self.data, between):
            folder.mkdir(mode=0o700, exist_ok=True)
            servers.pass_through(folder)
        for folder in (self.logs, self.triton):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
        for file in (*self.logs.iterdir(), self.state, self.secrets):
            with suppress(FileNotFoundError):
                file.chmod(0o600)
        for folder, user in ((self.access, servers), *((self.scratch(user), user) for user in self._users())):
            folder.mkdir(mode=0o700, exist_ok=True)
            user.own(folder)

    def require_ours(self) -> None:
        """Raise StackError where what the launcher writes and believes is another user's work, or might be."""
        folders = (self.home, self.logs, self.triton, self.data, self.home / "tmp")
        for folder in folders:
            with suppress(FileNotFoundError):
                self._require_ours(folder, folder.stat())
        logs = self.logs.iterdir() if self.logs.is_dir() else ()
        for file in (self.state, self.lock, self.secrets, *logs):
            with suppress(FileNotFoundError):
                self._require_plain(file)

    def _require_plain(self, file: Path) -> None:
        found = file.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise StackError(f"{file} is a link, or no file; remove it")
        self._require_ours(file, found)

    def _require_ours(self, path: Path, found: os.stat_result) -> None:
        """Raise StackError unless this user or root has made it, and nobody else can change it."""
        own = os.geteuid()
        if found.st_uid not in {0, own} or (found.st_uid != own and path.is_dir() and not os.access(path, os.W_OK)):
            owner = name_of(found.st_uid)
            raise StackError(
                f"{path} belongs to user {owner}, and this is user {name_of(own)}; run Maskwright as {owner}, or set "
                "MASKWRIGHT_HOME to another folder"
            )
        if found.st_mode & stat.S_IWOTH or (found.st_mode & stat.S_IWGRP and not _is_of_pod(found.st_gid)):
            raise StackError(
                f"others may write to {path}, so what it holds may be theirs; look at it, then take the right from "
                f"them: chmod -R go-w {shlex.quote(str(self.home))}"
            )

    def _users(self) -> Collection[Account]:
        return {self.servers, self.decoder}


def _is_of_pod(group: int) -> bool:
    """Kubernetes lets a group write to a volume that is the pod's alone (fsGroup), whenever the pod starts."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and group in os.getgroups()
