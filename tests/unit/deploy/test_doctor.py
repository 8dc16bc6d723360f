import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.ports import free_ports, free_s3_port, free_worker_port


@pytest.fixture
def variables(tmp_path: Path) -> Mapping[str, str]:
    """Of a shell in which no stack runs and every port is free."""
    names = ("API_PORT", "TRITON_GRPC_PORT", "TRITON_METRICS_PORT", "POSTGRES_PORT", "KAFKA_PORT")
    ports = dict(zip(names, map(str, free_ports(len(names))), strict=True))
    own = {"S3_PORT": str(free_s3_port()), "WORKER_PORT": str(free_worker_port())}
    return {**ports, **own, "MASKWRIGHT_HOME": str(tmp_path), "POSTGRES_DSN": "", "KAFKA_BOOTSTRAP_SERVERS": ""}


def _told(variables: Mapping[str, str]) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor"], env=variables)
    return result.exit_code, result.output


def test_doctor_passes_on_a_good_machine_and_says_how_to_start(variables: Mapping[str, str]) -> None:
    status, output = _told(variables)
    assert (status, "✗" in output) == (0, False)
    assert "✓ the stack does not run; `make up` starts it" in output


def test_doctor_names_the_server_that_does_not_answer(variables: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        s3, postgres = f"127.0.0.1:{server.getsockname()[1]}", "postgresql://me:secret@127.0.0.1:1/db"
        status, output = _told({**variables, "MINIO_ENDPOINT": s3, "POSTGRES_DSN": postgres})
    assert status == 1
    assert f"✓ S3 at {s3} can be reached" in output
    assert "✗ PostgreSQL at 127.0.0.1:1 cannot be reached" in output
    assert "secret" not in output


def test_doctor_names_a_taken_port_and_a_bad_setting(variables: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, output = _told({**variables, "API_PORT": port, "MAX_PIXELS": "many"})
    assert status == 1
    assert f"✗ port {port} is taken by another program: move API_PORT to a free one" in output
    assert "✗ MAX_PIXELS=many" in output
