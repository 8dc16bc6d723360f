"""Ports for tests."""

import random
import socket
from collections.abc import Iterable

from deploy.embedded.s3 import GRPC_OFFSET, PARTS

_LOWEST, _HIGHEST = 11_000, 22_000
"""Outside the range that Linux takes the ports of clients from (32768 and up), with the offset of S3 too."""
WORKERS = 4


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    ports: set[int] = set()
    while len(ports) < count:
        ports.add(_free_base([0]))
    return list(ports)


def free_s3_port() -> int:
    """A port from which on the embedded S3 finds all of its own free."""
    return _free_base([offset + index for offset in (0, GRPC_OFFSET) for index in range(len(PARTS))])


def free_worker_port() -> int:
    """A port from which on several workers find theirs free."""
    return _free_base(range(WORKERS))


def _free_base(offsets: Iterable[int]) -> int:
    while True:
        base = random.randrange(_LOWEST, _HIGHEST)
        if all(_is_free(base + offset) for offset in offsets):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
