"""A running stack for tests: real Triton, real gateway, ports and a home folder of its own."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ports import free_ports, free_s3_port, free_worker_port

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
    """A started launcher."""

    launcher: "subprocess.Popen[bytes]"
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

    def pid(self, service: str) -> int:
        """The process id of a service."""
        return self.state()["services"][service]["pid"]

    def is_ready(self, service: str) -> bool:
        """Whether the launcher calls the service ready."""
        return self.state()["services"].get(service, {}).get("state") == "ready"


@contextmanager
def running_stack(home: Path, python: str = sys.executable, **settings: str) -> Iterator[RunningStack]:
    """Start a stack, wait until it is ready, stop it at the end."""
    environment = stack_environment(home, **settings)
    launcher = subprocess.Popen([python, "-m", "deploy.embedded.stack"], cwd=CHECKOUT, env=environment)
    stack = RunningStack(launcher, home, environment)
    try:
        eventually(lambda: stack.state()["state"] == "ready" or launcher.poll() is not None, 180, "the stack is ready")
        assert launcher.poll() is None, stack.state()
        yield stack
    finally:
        launcher.send_signal(signal.SIGTERM)
        launcher.wait(60)
