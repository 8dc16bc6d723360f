"""Loopback ports."""

import errno
import socket
from collections.abc import Iterable
from typing import NamedTuple

from deploy.embedded.errors import StackError


class Listener(NamedTuple):
    """A port that a service takes, and the setting that moves it."""

    setting: str
    port: int
    host: str = "127.0.0.1"


def require_free(listeners: Iterable[Listener]) -> None:
    """Raise StackError for the first port that is taken, or given twice."""
    seen: dict[int, Listener] = {}
    for listener in listeners:
        if listener.port in seen:
            both = f"{listener.setting} and {seen[listener.port].setting}"
            raise StackError(f"{both} both take port {listener.port}; give each its own")
        seen[listener.port] = listener
    for listener in seen.values():
        _require_free(*listener)


def _require_free(setting: str, port: int, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StackError(f"port {port} is taken by another program; move {setting} to a free one") from error
            raise StackError(f"cannot listen on {host}:{port} ({setting}): {error.strerror}") from error
