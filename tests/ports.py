"""Ports for tests."""

import os
import random
import socket
import subprocess
import time
from collections.abc import Sequence

from deploy.embedded.s3_kafka import GRPC_OFFSET, PARTS

_LOWEST, _HIGHEST = 11_000, 21_000
"""Below the range that Linux takes the ports of clients from (32768 and up), with the offset of S3 too."""
_SHARES = 4
"""Of the range; each process of the test run takes from another one."""
WORKERS = 4


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    return [_SUPPLY.take([0]) for _ in range(count)]


def free_run(count: int) -> int:
    """The first of so many ports in a row."""
    return _SUPPLY.take(range(count))


def free_s3_port() -> int:
    """A port from which on the embedded S3 finds all of its own free, and no socket of a killed run."""
    parts = range(len(PARTS))
    while True:
        port = _SUPPLY.take([*parts, *(GRPC_OFFSET + part for part in parts)])
        if not os.path.lexists(f"/tmp/seaweedfs-s3-{port}.sock"):
            return port


def free_worker_port() -> int:
    """A port from which on several workers find theirs free."""
    return _SUPPLY.take(range(WORKERS))


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", timeout_s: float = 20.0) -> None:
    """Return once a process takes connections; fail with what it said where it ends before."""
    end = time.monotonic() + timeout_s
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        assert time.monotonic() < end, f"nobody listens on {port} after {timeout_s} s"
        time.sleep(0.02)


class _Supply:
    """Gives the ports of a range one after the other, so that no two servers of a stack are given the same."""

    def __init__(self, share: int) -> None:
        size = (_HIGHEST - _LOWEST) // _SHARES
        first = _LOWEST + share % _SHARES * size
        self._range = range(first, first + size - len(PARTS))
        self._next = random.choice(self._range)

    def take(self, offsets: Sequence[int]) -> int:
        """A port that is free at each of the offsets from it."""
        while True:
            base = self._next
            self._next += max(offset % GRPC_OFFSET for offset in offsets) + 1
            if self._next not in self._range:
                self._next = self._range.start
            if all(_is_free(base + offset) for offset in offsets):
                return base


_SUPPLY = _Supply(int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
