"""Debian's pgbouncer before a server; a test that needs it is passed over where it is missing."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

import pytest

from tests.ports import free_ports

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
START_S = 10.0


@contextmanager
def running_pgbouncer(dsn: str, mode: str = "transaction", **settings: object) -> Iterator[str]:
    """The address by which every database of a server is reached through a pgbouncer."""
    if PROGRAM is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer")
    parts, (port,) = urlsplit(dsn), free_ports(1)
    told = {
        "listen_addr": "127.0.0.1",
        "listen_port": port,
        "unix_socket_dir": "",
        "pool_mode": mode,
        "auth_type": "scram-sha-256",
        **settings,
    }
    with tempfile.TemporaryDirectory(prefix="pgbouncer-") as folder:
        users, config = Path(folder, "users.txt"), Path(folder, "pgbouncer.ini")
        users.write_text(f'"{parts.username}" "{unquote(parts.password or "")}"\n')
        lines = [f"{name} = {value}" for name, value in {**told, "auth_file": users}.items()]
        config.write_text(
            "\n".join(["[databases]", f"* = host={parts.hostname} port={parts.port}", "[pgbouncer]", *lines])
        )
        Path(folder).chmod(0o755)
        as_other = ["--user", "nobody"] if os.geteuid() == 0 else []
        process = subprocess.Popen([PROGRAM, "--quiet", *as_other, str(config)], stderr=subprocess.DEVNULL)
        try:
            _wait(port)
            place = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{port}"
            yield urlunsplit(parts._replace(netloc=place))
        finally:
            process.terminate()
            process.wait()


def _wait(port: int) -> None:
    deadline = time.monotonic() + START_S
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "pgbouncer does not start"
        time.sleep(0.02)
