"""The users that the servers run as: where root starts the stack two of its own, else the one that starts it."""

import functools
import os
import pwd
import stat
import subprocess
from collections.abc import Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from deploy.embedded.processes import numbers

FIRST, LAST = 61_184, 65_519
"""Numbers that users without an entry in passwd(5) get from systemd: `DynamicUser=` of systemd.exec(5)."""
NEEDED = ("chown", "dac_override", "fowner", "kill", "setgid", "setpcap", "setuid")
"""Capabilities with which root starts, watches and clears up after processes of other users."""
_NUMBERS = dict(chown=0, dac_override=1, dac_read_search=2, fowner=3, kill=5, setgid=6, setuid=7, setpcap=8)  # noqa: C408
"""Of capabilities: include/uapi/linux/capability.h."""
_LINKS = 1
_IN_USE = Path("/run/systemd/dynamic-uid")


@dataclass(frozen=True)
class Account:
    """A user and a group, by number."""

    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Whether it is not the user of this process."""
        return self.uid != os.geteuid()

    def has_name(self) -> bool:
        """Whether it has an entry in passwd(5); in containers, users are often mere numbers."""
        return name_of(self.uid) != str(self.uid)

    def options(self, capabilities: Sequence[str] = ()) -> Sequence[str]:
        """Options of setpriv(1) with which a program runs as this user, has these capabilities and gets no others."""
        if not self.is_other:
            return ("--no-new-privs",)
        kept = ",".join(("-all", *(f"+{name}" for name in capabilities)))
        user = (f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", "--no-new-privs")
        heeded = ("--securebits=+no_setuid_fixup",) if capabilities else ()  # by access(2), which else passes them over
        return (*user, *heeded, *(f"--{which}={kept}" for which in ("bounding-set", "inh-caps", "ambient-caps")))

    def succeeds(self, script: str, *arguments: Path) -> bool:
        """Whether a line of shell succeeds, run by this user."""
        command = ["setpriv", *self.options(), "--", "sh", "-c", script, "sh", *map(str, arguments)]
        return subprocess.run(command, cwd="/", capture_output=True, check=False).returncode == 0

    def pass_through(self, folder: Path) -> None:
        """Let it pass through a folder of ours, and nobody else but us. Raises OSError."""
        if folder.stat().st_uid == os.geteuid():
            if self.is_other:
                os.chown(folder, -1, self.gid)
            folder.chmod(0o710 if self.is_other else 0o700)

    def own(self, folder: Path) -> None:
        """Give it a folder with all that is in it, and keep others out of the folder. Raises OSError.

        What does not belong to the folder's last owner did not come from a server of ours, and stays.
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
        """Let it read a folder of ours with all that is in it, and change nothing. Raises OSError."""
        if not self.is_other:
            return
        for path, found in [*_below(folder), (folder, folder.lstat())]:
            os.chown(path, -1, self.gid, follow_symlinks=False)
            if not stat.S_ISLNK(found.st_mode):
                path.chmod(found.st_mode & 0o700 | (found.st_mode & 0o500) >> 3)


def name_of(uid: int) -> str:
    """A user's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def servers_of(home: Path) -> Account:
    """The user of every server but Triton; its number is the home folder's group, once `Folders.create` has chosen."""
    if not can_drop():
        return Account(os.geteuid(), os.getegid())
    number = _kept(home) or _derived(home)
    return Account(number, number)


def triton_of(home: Path) -> Account:
    """The user of Triton, who decodes what strangers send, and can read no file of the others."""
    servers = servers_of(home)
    return Account(servers.uid + 1, servers.gid) if servers.is_other else servers


@functools.cache
def can_drop() -> bool:
    """Whether this process is root, and has what it takes to start and stop processes of other users."""
    return os.geteuid() == 0 and all(map(has, NEEDED)) and Account(FIRST, FIRST).succeeds("true")


def has(capability: str) -> bool:
    """Whether this process has a capability."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    held = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return bool(held >> _NUMBERS[capability] & 1)


def _kept(home: Path) -> int | None:
    with suppress(OSError):
        group = home.stat().st_gid
        return group if FIRST <= group < LAST and group % 2 == FIRST % 2 else None
    return None


def _derived(home: Path) -> int:
    """A number by the folder's path, so that it is the same for everybody who asks; past those that are in use."""
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
    for pid in numbers():
        with suppress(OSError):
            yield Path("/proc", str(pid)).stat().st_uid


def _below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for entry in os.scandir(folder):
        found = entry.stat(follow_symlinks=False)
        yield Path(entry.path), found
        if stat.S_ISDIR(found.st_mode):
            yield from _below(Path(entry.path))
