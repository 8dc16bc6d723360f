"""A real nginx before a gateway, on ports of its own. Debian's package `nginx-light` has it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import wait_for_port

NGINX = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not here: apt-get install nginx-light")

_WHOLE = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""


@contextmanager
def running_nginx(folder: Path, servers: str, *ports: int) -> Iterator[None]:
    """nginx with these `server` blocks, which listen at these ports of 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nginx.conf"
    config.write_text(_WHOLE.format(user=_user(), folder=folder, servers=servers), encoding="utf-8")
    process = subprocess.Popen([str(NGINX), "-p", folder, "-c", config], stderr=subprocess.PIPE)
    try:
        for port in ports:
            wait_for_port(port, process)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _user() -> str:
    """Root's workers would be another user, who may not enter the folder."""
    return "user root root;" if os.geteuid() == 0 else ""
