"""What a server may do on this machine: its user, and the files that it can reach.

If root starts the stack, the servers run as two users of the stack, else as the user who starts it. Root's folders,
above all /root, are closed to those two. Yet Python, or the checkout, is often in one. There, and nowhere else, a
server keeps the capability that opens closed folders, and Landlock limits it to the paths that it needs.
"""

import functools
import json
import os
import pwd
import site
import stat
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deploy.embedded import CHECKOUT, landlock
from deploy.embedded.processes import process_ids

FIRST, LAST = 61_184, 65_519
"""Numbers that systemd gives to users without an entry in passwd(5): `DynamicUser=` of systemd.exec(5)."""
NEEDED = ("chown", "dac_override", "fowner", "kill", "setgid", "setpcap", "setuid")
"""Capabilities with which root starts, watches and cleans up after processes of other users."""
_NUMBERS = dict(chown=0, dac_override=1, dac_read_search=2, fowner=3, kill=5, setgid=6, setuid=7, setpcap=8)  # noqa: C408
"""Numbers of capabilities: include/uapi/linux/capability.h."""
_LINKS = 1
_IN_USE = Path("/run/systemd/dynamic-uid")
PYTHON = Path(sys.executable).resolve()
_COVERED = frozenset({Path("/"), Path("/usr"), Path("/usr/local")})
"""Places of the system's Python. `_SYSTEM` has what is needed from them."""
_PROGRAM = Path(landlock.__file__)
_CACHE = "__pycache__"  # Python does without
_DEPTH = 4
"""How many levels below a folder are searched for closed entries: files of packages in a virtual environment."""
_SYSTEM = (
    *(f"/usr/{name}" for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share")),
    *(f"/usr/local/{name}" for name in ("bin", "lib", "lib64", "share", "cuda", "nvidia")),
    *("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store", "/proc"),
    *(f"/sys/{name}" for name in ("devices", "bus", "class", "module", "fs/cgroup", "kernel/mm")),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/ssl/cert.pem", "/etc/ca-certificates", "/etc/crypto-policies"),
    *("/etc/pki/tls/certs", "/etc/pki/tls/openssl.cnf", "/etc/pki/tls/cert.pem", "/etc/pki/ca-trust"),
    *("/etc/resolv.conf", "/run/systemd/resolve", "/run/resolvconf"),
    *(f"/run/NetworkManager/{name}" for name in ("resolv.conf", "no-stub-resolv.conf")),  # passwords lie beside them
    *(f"/etc/{name}" for name in ("hosts", "host.conf", "hostname", "nsswitch.conf", "gai.conf", "services")),
    *(f"/etc/{name}" for name in ("protocols", "passwd", "group", "localtime", "timezone", "os-release")),
    *(f"/etc/{name}" for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "mime.types")),
)
"""What any program reads of the system. From /etc only what all users may read: the capability opens the rest too."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/dxg")
_OPENING = frozenset({"dac_read_search", "dac_override"})
_CODE = ("deploy", "ensembles", "exporters", "gateway", "model_repository", "steps", "vision")


@dataclass(frozen=True)
class Account:
    """A user and a group, by number."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether it differs from the user of this process."""
        return self.uid != os.geteuid()

    def has_name(self) -> bool:
        """Whether it has an entry in passwd(5). In containers, users are often only numbers."""
        return name_of(self.uid) != str(self.uid)

    def options(self, capabilities: Sequence[str] = ()) -> Sequence[str]:
        """Options of setpriv(1) with which a program runs as this user, with these capabilities and no others."""
        if not self.is_other:
            return ("--no-new-privs",)
        kept = ",".join(("-all", *(f"+{name}" for name in capabilities)))
        user = (f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--no-new-privs")
        heeded = ("--securebits=+no_setuid_fixup",) if capabilities else ()  # access(2) would ignore them otherwise
        return (*user, *heeded, *(f"--{which}={kept}" for which in ("bounding-set", "inh-caps", "ambient-caps")))

    def pass_through(self, folder: Path) -> None:
        """Let it pass through a folder of ours, and nobody else but us. Raises OSError."""
        if folder.stat().st_uid == os.geteuid():
            if self.is_other:
                os.chown(folder, -1, self.gid)
            folder.chmod(0o710 if self.is_other else 0o700)

    def own(self, folder: Path) -> None:
        """Give it a folder with its content, and keep others out of the folder. Raises OSError.

        Files that do not belong to the folder's last owner did not come from a server of ours, and are not changed.
        """
        last = folder.lstat().st_uid
        folder.chmod(0o700)
        if not self.is_other or last == self.uid:
            return
        for path, found in _below(folder):
            if found.st_uid == last and (found.st_nlink == _LINKS or not stat.S_ISREG(found.st_mode)):
                os.chown(path, self.uid, self.gid, follow_symlinks=False)
        os.chown(folder, self.uid, self.gid)

    def lend(self, folder: Path) -> None:
        """Let it read a folder of ours with its content, without changing anything. Raises OSError."""
        if not self.is_other:
            return
        for path, found in [*_below(folder), (folder, folder.lstat())]:
            os.chown(path, -1, self.gid, follow_symlinks=False)
            if not stat.S_ISLNK(found.st_mode):
                path.chmod(found.st_mode & 0o700 | (found.st_mode & 0o500) >> 3)


def servers_of(home: Path) -> Account:
    """The user of every server but Triton. Its number is the home folder's group, once `Folders.create` has chosen."""
    if not can_drop():
        return Account(os.geteuid(), os.getegid())
    number = _kept(home) or _derived(home)
    return Account(number, number)


def triton_of(home: Path) -> Account:
    """The user of Triton, which decodes what strangers send. It can read no file of the others."""
    servers = servers_of(home)
    return Account(servers.uid + 1, servers.gid) if servers.is_other else servers


@functools.cache
def can_drop() -> bool:
    """Whether this process is root, and has the rights to start and stop processes of other users."""
    if os.geteuid() != 0 or not all(map(has_capability, NEEDED)):
        return False
    trial = ["setpriv", *Account(FIRST, FIRST).options(), "--", "true"]
    return subprocess.run(trial, cwd="/", capture_output=True, check=False).returncode == 0


def has_capability(capability: str) -> bool:
    """Whether this process has a capability."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    held = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return bool(held >> _NUMBERS[capability] & 1)


def name_of(uid: int) -> str:
    """A user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _kept(home: Path) -> int | None:
    with suppress(OSError):
        group = home.stat().st_gid
        return group if FIRST <= group < LAST and group % 2 == FIRST % 2 else None
    return None


def _derived(home: Path) -> int:
    """A number derived from the folder's path, so that everybody who asks gets the same. Numbers in use are skipped."""
    pairs = (LAST + 1 - FIRST) // 2
    start = int.from_bytes(sha256(os.fsencode(home)).digest()[:8], "big") % pairs
    candidates = (FIRST + 2 * ((start + step) % pairs) for step in range(pairs))
    running = frozenset(_running())
    free = (number for number in candidates if not any(_is_used(one, running) for one in (number, number + 1)))
    return next(free, FIRST + 2 * start)


def _is_used(number: int, running: Container[int]) -> bool:
    return number in running or Account(number, number).has_name() or (_IN_USE / str(number)).exists()


def _running() -> Iterator[int]:
    """The users of all processes."""
    for pid in process_ids():
        with suppress(OSError):
            yield Path("/proc", str(pid)).stat().st_uid


def _below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for entry in os.scandir(folder):
        found = entry.stat(follow_symlinks=False)
        yield Path(entry.path), found
        if stat.S_ISDIR(found.st_mode):
            yield from _below(Path(entry.path))


@dataclass(frozen=True)
class Rights:
    """The user of a server, and the files that it needs besides the system's. Folders count with their content."""

    account: Account
    programs: Sequence[Path]
    """What it runs. It may also read these and `read`."""
    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    entries: Sequence[Path] = ()
    """Folders that others use too, in which it makes sockets and folders at fixed paths."""
    listed: Sequence[Path] = ()
    """Folders in which it may only list names."""
    ports: Sequence[int] = ()
    always_confined: bool = False
    """Apply these even if no capability makes it necessary."""

    def command(self, program: Sequence[str], *options: str) -> Sequence[str]:
        """A command that runs the program with these rights, and with further options of setpriv(1)."""
        capabilities = self.capabilities()
        limits: Sequence[str] = ()
        if self._is_confined(capabilities) and landlock.abi():
            limits = [str(PYTHON), "-I", "-S", str(_PROGRAM), json.dumps(self._rules())]
        return ["setpriv", *options, *self.account.options(capabilities), "--", *limits, *program]

    def capabilities(self) -> Sequence[str]:
        """What it needs at least: to open what is closed to its user, and to listen on a port below 1024."""
        if not self.account.is_other:
            return ()
        low = ("net_bind_service",) if any(port < _first_free_port() for port in self.ports) else ()
        return (*self._opening(), *low)

    def faults(self) -> Sequence[str]:
        """What prevents these rights from being enforced, one line each, with what would fix it."""
        found = []
        if self._is_root():
            found.append(
                "it runs as root, who may not start it as another user here: give the container the capabilities "
                f"{', '.join(NEEDED).upper()}, or start the stack as another user"
            )
        if not landlock.abi() and self._is_confined(self.capabilities()):
            found.append(
                "the files that it may read are not limited: this kernel has no Landlock, which came with Linux 5.13, "
                "or forbids it; start the stack as a user, or with Python and checkout where all users may enter"
            )
        return found

    def _is_confined(self, capabilities: Sequence[str]) -> bool:
        return self.always_confined or self._is_root() or bool(_OPENING & set(capabilities))

    def _is_root(self) -> bool:
        return self.account.uid == 0

    def _opening(self) -> Sequence[str]:
        """The least capability that opens closed entries: reading and passing through, or else all."""
        runs = all(_may(self.account, path, stat.S_IXOTH) for path in self.programs)
        if runs and not any(self._closed()):
            return ()
        wanted = ("dac_read_search", "dac_override") if runs else ("dac_override",)
        return next(((name,) for name in wanted if has_capability(name)), ())

    def _closed(self) -> Iterator[Path]:
        """What its user cannot reach by itself."""
        for path in (*self.programs, *self.read, *self.write):
            if path.exists() and not _is_reachable(self.account, path):
                yield path
        for path in self.read:
            yield from _unreadable(self.account, path, _DEPTH)

    def _rules(self) -> Mapping[str, Sequence[str]]:
        nvidia = sorted(map(str, Path("/dev").glob("nvidia*")))
        return {
            "read": [*_SYSTEM, *map(str, (*_base(), _PROGRAM, *self.programs, *self.read))],
            "list": [str(CHECKOUT), *map(str, self.listed)],  # where Python looks for our packages
            "write": [*map(str, self.write)],
            "entries": [*map(str, self.entries)],
            "device": [*_DEVICES, *nvidia],
        }


def python_folders() -> Sequence[Path]:
    """This Python, its packages and our own code."""
    code = [CHECKOUT / name for name in (*_CODE, "pyproject.toml")]
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    packages = map(Path, (sys.prefix, *site.getsitepackages(), *user, *_linked()))
    found = dict.fromkeys(path.resolve() for path in (*packages, *code))
    return [*_base(), *(path for path in found if path.exists() and path not in _COVERED)]


def _linked() -> Iterator[str]:
    """Where Python finds packages that are worked on (`pip install --editable`); of the checkout, only code is read."""
    return (place for place in sys.path[1:] if Path(place).is_dir() and not CHECKOUT.is_relative_to(place))


def _base() -> Sequence[Path]:
    """Where this Python itself is, except for the system's parts."""
    return [path for path in (Path(sys.base_prefix).resolve(), PYTHON.parents[1]) if path not in _COVERED]


def _is_reachable(user: Account, path: Path) -> bool:
    """Whether the user may pass through every folder above."""
    return all(_may(user, parent, stat.S_IXOTH) for parent in path.resolve().parents)


def _unreadable(user: Account, path: Path, depth: int) -> Iterator[Path]:
    """What the user may not read in a file or folder, down to a limited depth. Links lead elsewhere."""
    try:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            return
        if not _permits(user, found, 0o5 if stat.S_ISDIR(found.st_mode) else 0o4):
            yield path
        elif stat.S_ISDIR(found.st_mode) and depth:
            for entry in os.scandir(path):
                if entry.name != _CACHE:
                    yield from _unreadable(user, Path(entry.path), depth - 1)
    except FileNotFoundError:
        return


def _may(user: Account, path: Path, wanted: int) -> bool:
    try:
        return _permits(user, path.stat(), wanted)
    except FileNotFoundError:
        return True


def _permits(user: Account, found: os.stat_result, wanted: int) -> bool:
    """Whether a file's mode bits give the user these rights."""
    shift = 6 if found.st_uid == user.uid else 3 if found.st_gid == user.gid else 0
    return found.st_mode >> shift & wanted == wanted


def _first_free_port() -> int:
    """The lowest port that any user may use."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except OSError:
        return 1024
