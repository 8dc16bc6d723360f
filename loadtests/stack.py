"""A stack for one measurement, in a temporary folder."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.embedded import launcher
from deploy.embedded.folders import Folders
from gateway.settings import Settings
from gateway.supervision import stopping


@contextlib.contextmanager
def bench_stack(**given: str) -> Iterator[Settings]:
    """Start everything with the environment's settings and the given ones, and stop it at the end."""
    with tempfile.TemporaryDirectory() as home:
        os.environ["MASKWRIGHT_HOME"] = home
        os.environ["ALLOWED_NETWORKS"] = "127.0.0.0/8"  # the photos come from this machine
        os.environ.update(given)
        folders = Folders(Path(home))
        folders.create()
        with stopping() as stop:
            started = launcher.start(folders, stop, launcher.ATTACHED)
            try:
                with stop.interrupting():
                    yield Settings.from_environment()
            finally:
                launcher.end(started)
