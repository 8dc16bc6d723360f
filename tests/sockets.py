"""The sockets that processes listen at."""

import re
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, ip_address
from pathlib import Path

_LISTENS, _UNCONNECTED = "0A", "07"
"""States of a TCP and of a UDP socket; net/tcp_states.h of Linux."""
_ACCEPTS = 1 << 16
"""A flag of a unix socket; proc_net(5)."""


def listening(root: int) -> set[str]:
    """Where a process and its descendants listen: `tcp 127.0.0.1:80`, `tcp [::1]:80`, `udp …`, `unix PATH`.

    The path of an abstract unix socket begins with @.
    """
    held = {inode for pid in _family(root) for inode in _inodes(pid)}
    return {name for inode, name in (*_internet(), *_unix()) if inode in held}


def _family(root: int) -> set[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
    family = {root}
    while children := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= children
    return family


def _inodes(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/fd").glob("*"):
        with suppress(OSError):
            if found := re.fullmatch(r"socket:\[(\d+)\]", str(file.readlink())):
                yield found[1]


def _internet() -> Iterator[tuple[str, str]]:
    for table, state in {"tcp": _LISTENS, "tcp6": _LISTENS, "udp": _UNCONNECTED, "udp6": _UNCONNECTED}.items():
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state:
                host, port = fields[1].split(":")
                yield fields[9], f"{table.rstrip('6')} {_address(host)}:{int(port, 16)}"


def _address(host: str) -> str:
    """An address as usual; Linux writes each four bytes of it backwards."""
    words = [bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8)]
    address = ip_address(b"".join(words))
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or f"[{address}]")


def _unix() -> Iterator[tuple[str, str]]:
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        _, _, _, flags, _, _, inode, *path = line.split()
        if int(flags, 16) & _ACCEPTS:
            yield inode, f"unix {' '.join(path)}"
