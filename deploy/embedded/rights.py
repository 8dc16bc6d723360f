"""What a server may do on this machine: as whom it runs, and which files it reaches.

Root's own folders, /root before all, are closed to the users that our servers run as; yet Python, or the checkout,
often lies in one. There, and nowhere else, a server keeps the capability that opens closed folders, and Landlock keeps
it to the paths that it needs.
"""

import json
import os
import site
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded import account, confined
from deploy.embedded.account import Account
from deploy.embedded.folders import CHECKOUT

PYTHON = Path(sys.executable).resolve()
_COVERED = frozenset({Path("/"), Path("/usr"), Path("/usr/local")})
"""Places of the system's Python; `_SYSTEM` has what is needed of them."""
_PROGRAM = Path(confined.__file__)
_CACHE = "__pycache__"  # Python does without
_DEPTH = 4
"""How far below a folder is looked for what is closed: files of packages in a virtual environment."""
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
"""What any program reads of the system. Of /etc only what all users may: the capability opens the rest as well."""
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/dxg")
_OPENING = frozenset({"dac_read_search", "dac_override"})
_CODE = ("deploy", "ensembles", "exporters", "gateway", "model_repository", "steps", "vision")


@dataclass(frozen=True)
class Rights:
    """As whom a server runs, and the files that it needs beyond the system's; folders with all that is in them."""

    account: Account
    programs: Sequence[Path]
    """What it runs; these and `read` it may also read."""
    read: Sequence[Path] = ()
    write: Sequence[Path] = ()
    entries: Sequence[Path] = ()
    """Folders that others use too, in which it makes sockets and folders at fixed paths."""
    listed: Sequence[Path] = ()
    """Folders in which it may read names alone."""
    ports: Sequence[int] = ()
    always_confined: bool = False
    """Also where no capability asks for it."""

    def command(self, program: Sequence[str], *options: str) -> Sequence[str]:
        """A command that runs the program with these rights, and with further options of setpriv(1)."""
        capabilities = self.capabilities()
        limits: Sequence[str] = ()
        if self._is_confined(capabilities) and confined.abi():
            limits = [str(PYTHON), "-I", "-S", str(_PROGRAM), json.dumps(self._rules())]
        return ["setpriv", *options, *self.account.options(capabilities), "--", *limits, *program]

    def capabilities(self) -> Sequence[str]:
        """What it cannot do without: open what is closed to its user, and take a port below 1024."""
        if not self.account.is_other:
            return ()
        low = ("net_bind_service",) if any(port < _first_free_port() for port in self.ports) else ()
        return (*self._opening(), *low)

    def faults(self) -> Sequence[str]:
        """What keeps it from being kept to its rights, one line each, with what would mend it."""
        found = []
        if self._is_root():
            found.append(
                "it runs as root, who may not start it as another user here: give the container the capabilities "
                f"{', '.join(account.NEEDED).upper()}, or start the stack as another user"
            )
        if not confined.abi() and self._is_confined(self.capabilities()):
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
        """The least capability that opens what is closed: to read and to pass through, or else all."""
        runs = all(_may(self.account, path, stat.S_IXOTH) for path in self.programs)
        if runs and not any(self._closed()):
            return ()
        wanted = ("dac_read_search", "dac_override") if runs else ("dac_override",)
        return next(((name,) for name in wanted if account.has(name)), ())

    def _closed(self) -> Iterator[Path]:
        """What its user cannot come to by itself."""
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
    packages = map(Path, (sys.prefix, *site.getsitepackages(), *user))
    found = dict.fromkeys(path.resolve() for path in (*packages, *code))
    return [*_base(), *(path for path in found if path.exists() and path not in _COVERED)]


def _base() -> Sequence[Path]:
    """Where this Python itself lies, but for what is the system's."""
    return [path for path in (Path(sys.base_prefix).resolve(), PYTHON.parents[1]) if path not in _COVERED]


def _is_reachable(user: Account, path: Path) -> bool:
    """Whether the user may pass through every folder above."""
    return all(_may(user, parent, stat.S_IXOTH) for parent in path.resolve().parents)


def _unreadable(user: Account, path: Path, depth: int) -> Iterator[Path]:
    """What the user may not read, of a file or folder and so far below it; links lead elsewhere."""
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
    """Whether the bits of a file's mode give the user these rights."""
    shift = 6 if found.st_uid == user.uid else 3 if found.st_gid == user.gid else 0
    return found.st_mode >> shift & wanted == wanted


def _first_free_port() -> int:
    """The least port that any user may take."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text(encoding="ascii"))
    except OSError:
        return 1024
