"""The stack's home folder: its paths, the check that no other user can change it, and the state and password files."""

import json
import os
import secrets
import shlex
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import TypeAdapter

from deploy.embedded import StackError
from deploy.embedded.processes import birth_of
from deploy.embedded.rights import Account, name_of, servers_of, triton_of
from gateway.settings.environment import read_short
from gateway.settings.sources import is_launcher, lock_file

_BYTES = 24


class Folders:
    """Paths under one home folder, `MASKWRIGHT_HOME`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.logs = home / "logs"
        """One log file per service."""
        self.state = home / "stack.json"
        """The running stack's state, JSON."""
        self.lock = lock_file(home)
        """Locked for as long as a launcher runs."""
        self.triton = home / "triton"
        """What Triton is started with: backends and generated model folders."""
        self.data = home / "data"
        """The servers' data, one folder each."""
        self.secrets = home / "secrets.json"
        """The embedded servers' passwords, JSON."""
        self.access = home / "access"
        """Keys and the audit log of callers when there is no database. The gateway owns it."""

    @property
    def servers(self) -> Account:
        """The user of every server but Triton."""
        return servers_of(self.home)

    @property
    def decoder(self) -> Account:
        """The user of Triton."""
        return triton_of(self.home)

    @property
    def own_users(self) -> Collection[int]:
        """The numbers of users that belong only to this stack. Empty if it runs as the user who started it."""
        return {user.uid for user in self._users() if user.is_other}

    def log(self, service: str) -> Path:
        """The log file of a service."""
        return self.logs / f"{service}.log"

    def scratch(self, user: Account) -> Path:
        """The folder for temporary files of a user's processes."""
        return self.home / "tmp" / ("triton" if user == self.decoder else "servers")

    @classmethod
    def at(cls, named: Path) -> "Folders":
        """The folders below a configured path. Raises StackError if another user put a link there."""
        if named.is_symlink() and (owner := named.lstat().st_uid) not in {0, os.geteuid()}:
            raise StackError(
                f"{named} is a link that user {name_of(owner)} made; set MASKWRIGHT_HOME to another folder"
            )
        return cls(named.resolve())

    def create(self) -> None:
        """Make missing folders, and close all to other users. Raises StackError if one is not ours."""
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
        """Raise StackError if another user made, or could change, what the launcher writes and trusts."""
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
        """Raise StackError unless this user or root made it, and nobody else can change it."""
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
    """Kubernetes lets a group write to a volume that belongs only to the pod (fsGroup), at every start of the pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and group in os.getgroups()


@dataclass(frozen=True)
class ServiceState:
    """One service: waiting, starting, ready, restarting, stopping or stopped.

    `doing` says what it is doing while it starts, `notes` what does not work although it runs.
    """

    name: str
    state: str
    pid: int | None
    ports: dict[str, int]
    restarts: int = 0
    doing: str = ""
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StackState:
    """The stack: starting, ready, failed, stopping or stopped. `message` says why it failed."""

    pid: int
    state: str
    services: dict[str, ServiceState] = field(default_factory=dict)
    message: str = ""
    birth: str = ""
    """The launcher's birth, from `birth_of`: its process id may belong to another program by now."""

    @classmethod
    def of_launcher(cls, services: dict[str, ServiceState]) -> "StackState":
        """The state of a stack that this process begins to start."""
        return cls(os.getpid(), "starting", services, birth=birth_of(os.getpid()))

    def with_service(self, service: ServiceState) -> "StackState":
        """The same stack with one service's new state."""
        return replace(self, services={**self.services, service.name: service})

    @property
    def doing(self) -> str:
        """What the starting services are doing, as the rest of a sentence."""
        starting = [one for one in self.services.values() if one.state == "starting"]
        words = [f"{one.name} ({one.doing})" if one.doing else one.name for one in starting]
        return f": {', '.join(words)}" if words else ""

    def write(self, path: Path) -> None:
        """Replace the file in one step, so that no reader sees half of it."""
        draft = path.with_suffix(".part")
        draft.write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def read(cls, path: Path) -> "StackState | None":
        """What the file says. None if there is none, or it is of another version."""
        try:
            return TypeAdapter(cls).validate_json(read_short(path))
        except (OSError, ValueError):
            return None

    def is_alive(self, home: Path) -> bool:
        """Whether the launcher that wrote this still runs in this home folder."""
        return self.pid != os.getpid() and self._is_born() and is_launcher(self.pid, home)

    def _is_born(self) -> bool:
        """A launcher of an older version does not record its birth. Then the lock decides."""
        try:
            return self.birth in {"", birth_of(self.pid)}
        except OSError:
            return False


@dataclass(frozen=True)
class Credentials:
    """The logins of PostgreSQL and S3. Only the launcher uses PostgreSQL's administrator."""

    postgres_password: str
    s3_access_key: str
    s3_secret_key: str
    postgres_admin_password: str = ""

    @classmethod
    def kept(cls, path: Path) -> "Credentials":
        """The credentials in the file. If there is none, random ones are written, readable only by their owner.

        A former version had no administrator: its file gets one. Raises StackError if the file holds something else.
        `Folders.require_ours` ensures that nobody else made it.
        """
        if not path.exists():
            _write(cls(_password(), secrets.token_hex(10), _password(), _password()), path, path.hardlink_to)
        try:
            kept = TypeAdapter(cls).validate_json(read_short(path))
        except (OSError, ValueError) as error:
            remedy = "restore it, or remove it together with the data folder"
            raise StackError(f"{path} cannot be read; {remedy}") from error
        if not kept.postgres_admin_password:
            kept = replace(kept, postgres_admin_password=_password())
            _write(kept, path, lambda draft: draft.replace(path))
        return kept


def _write(credentials: Credentials, path: Path, put: Callable[[Path], object]) -> None:
    """Write in one step, never readable by others. `put` names the draft; the name may be taken meanwhile."""
    draft = path.with_suffix(f".{os.getpid()}.part")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(asdict(credentials), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    try:
        put(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _password() -> str:
    return secrets.token_urlsafe(_BYTES)
