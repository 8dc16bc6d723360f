"""A Triton of a test's own, with models made for it."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tritonclient.grpc as grpcclient
from tritonclient.utils import InferenceServerException

from deploy.embedded.triton_wheel import TritonWheel, listening_options
from tests.ports import free_ports
from tests.stack import eventually


@contextmanager
def serving_models(home: Path, models: Path, *options: str, http_port: int | None = None) -> Iterator[str]:
    """The wheel's server on the model folders in `models`; its gRPC address. It keeps what it needs in `home`."""
    wheel = TritonWheel(home)
    wheel.make()
    grpc, metrics = free_ports(2)
    command = [
        str(wheel.executable), f"--model-repository={wheel.link('models', models)}",
        f"--backend-directory={wheel.backends}", f"--backend-config=python,shm-region-prefix-name=test_{grpc}_",
        *listening_options(grpc, metrics, http_port), *options,
    ]  # fmt: skip
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env=wheel.environment(), stdout=log, stderr=log)
    try:
        eventually(lambda: _is_ready(grpc) or server.poll() is not None, 60, "Triton is ready")
        assert server.poll() is None, (home / "log").read_text()
        yield f"127.0.0.1:{grpc}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        wheel.remove()


def _is_ready(port: int) -> bool:
    try:
        with grpcclient.InferenceServerClient(f"127.0.0.1:{port}") as client:
            return bool(client.is_server_ready())
    except InferenceServerException:
        return False
