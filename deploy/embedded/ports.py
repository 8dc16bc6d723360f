"""Loopback ports."""

import errno
import socket
from collections.abc import Mapping

from deploy.embedded.errors import StackError


def require_free(host: str, ports: Mapping[str, int]) -> None:
    """Raise StackError for the first port (setting name → port) that is taken or given twice."""
    seen: dict[int, str] = {}
    for setting, port in ports.items():
        if port in seen:
            raise StackError(f"{setting} and {seen[port]} are both {port}; give each its own port")
        seen[port] = setting
    for setting, port in ports.items():
        _require_free(host, setting, port)


def _require_free(host: str, setting: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StackError(f"port {port} is taken by another program; set {setting} to a free port") from error
            raise StackError(f"cannot listen on {host}:{port} ({setting}): {error.strerror}") from error
