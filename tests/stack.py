"""A running stack for tests: real Triton, real gateway, ports and a home folder of its own."""

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.ports import free_ports, free_s3_port, free_worker_port
from tests.processes import is_running

CHECKOUT = Path(__file__).resolve().parents[1]
PORT_SETTINGS = (
    "PORT",
    "TRITON_GRPC_PORT",
    "TRITON_METRICS_PORT",
    "POSTGRES_PORT",
    "KAFKA_PORT",
)


def eventually(condition: Callable[[], bool], timeout: float, what: str) -> None:
    """Wait until the condition holds; fail with `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"not within {timeout} s: {what}"
        time.sleep(0.05)


def stack_environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a stack in `home`, on free ports; one process a pipeline, as two stacks share the machine."""
    ports = dict(zip(PORT_SETTINGS, map(str, free_ports(len(PORT_SETTINGS))), strict=True))
    ranges = {"S3_PORT": str(free_s3_port()), "WORKER_PORT": str(free_worker_port())}
    usual = {"MASKWRIGHT_HOME": str(home), "LOG_FORMAT": "json", "TRITON_INSTANCES": "1"}
    return {**os.environ, **usual, **ports, **ranges, **settings}


@dataclass(frozen=True)
class RunningStack:
    """A stack that this process or another one started."""

    home: Path
    environment: dict[str, str]

    @property
    def url(self) -> str:
        """The gateway's base URL."""
        return f"http://127.0.0.1:{self.environment['PORT']}"

    @property
    def triton(self) -> str:
        """Triton's gRPC address."""
        return f"127.0.0.1:{self.environment['TRITON_GRPC_PORT']}"

    def addresses(self) -> dict[str, str]:
        """What `maskwright env` tells a person: POSTGRES_DSN, MINIO_ENDPOINT and so on."""
        command = [str(Path(sys.executable).with_name("maskwright")), "env"]
        lines = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout
        return dict(
            line.removeprefix("export ").split("=", 1) for line in shlex.split(lines, comments=True) if "=" in line
        )

    @property
    def kafka(self) -> str:
        """The broker's address."""
        return f"127.0.0.1:{self.environment['KAFKA_PORT']}"

    def state(self) -> dict[str, object]:
        """What the launcher says of itself."""
        path = self.home / "stack.json"
        return json.loads(path.read_text()) if path.exists() else {"state": "starting", "services": {}}

    @property
    def launcher_pid(self) -> int:
        """The process id of the launcher."""
        return self.state()["pid"]

    def pid(self, service: str) -> int:
        """The process id of a service."""
        return self.state()["services"][service]["pid"]

    def is_ready(self, service: str) -> bool:
        """Whether the launcher calls the service ready."""
        return self.state()["services"].get(service, {}).get("state") == "ready"


@dataclass(frozen=True)
class OwnStack(RunningStack):
    """A stack that this process started."""

    launcher: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, home: Path, python: str = sys.executable, **settings: str) -> Self:
        """Start one, without waiting for it."""
        environment = stack_environment(home, **settings)
        launcher = subprocess.Popen([python, "-m", "deploy.embedded.stack"], cwd=CHECKOUT, env=environment)
        return cls(home, environment, launcher)

    def until_ready(self) -> None:
        """Wait until every service serves."""
        settled = lambda: self.state()["state"] == "ready" or self.launcher.poll() is not None  # noqa: E731
        eventually(settled, 180, "the stack is ready")
        assert self.launcher.poll() is None, self.state()

    def stop(self) -> None:
        self.launcher.send_signal(signal.SIGTERM)
        self.launcher.wait(60)


@contextmanager
def running_stack(home: Path, python: str = sys.executable, **settings: str) -> Iterator[OwnStack]:
    """Start a stack, wait until it is ready, stop it at the end."""
    stack = OwnStack.start(home, python, **settings)
    try:
        stack.until_ready()
        yield stack
    finally:
        stack.stop()


@dataclass(frozen=True)
class SharedStack:
    """One stack for all processes of a test run: the first that asks starts it, the run ends it."""

    folder: Path
    """Every user may enter it."""

    def get(self) -> RunningStack:
        """It, ready."""
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o755)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return self._running() or self._started()

    def end(self) -> None:
        """Stop it, if anybody asked for it."""
        if stack := self._running():
            pid = stack.launcher_pid
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            eventually(lambda: not is_running(pid), 60, "the shared stack has ended")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _running(self) -> RunningStack | None:
        if not self._environment.exists():
            return None
        return RunningStack(self._home, json.loads(self._environment.read_text()))

    def _started(self) -> RunningStack:
        stack = OwnStack.start(self._home)
        try:
            stack.until_ready()
        except BaseException:
            stack.stop()
            raise
        self._environment.write_text(json.dumps(stack.environment))
        return stack

    @property
    def _home(self) -> Path:
        return self.folder / "home"

    @property
    def _environment(self) -> Path:
        return self.folder / "environment.json"
