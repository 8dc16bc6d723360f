"""Where the figures are served, in memory mode."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import httpx
import pytest

from gateway.settings import Settings
from tests.ports import free_ports
from tests.stack import CHECKOUT, eventually

pytestmark = pytest.mark.stack

MEMORY = {"DB_USE_DATABASE": "false"}


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False)


def test_the_metrics_have_a_port_of_their_own_where_one_is_set(gateway_with: Callable[..., str]) -> None:
    (port,) = free_ports(1)
    url = gateway_with(**MEMORY, PROMETHEUS_PORT=str(port))
    for address in (*(f"http://127.0.0.1:{port}{path}" for path in ("", "/", "/metrics")), f"{url}/metrics"):
        answer = get(address)
        assert answer.status_code == 200
        assert "\ntask_queue_size" in answer.text
        rebound = httpx.get(address, headers={"Host": "evil.example"}, trust_env=False)
        assert (rebound.status_code, "task_queue_size" in rebound.text) == (421, False)
    assert get(f"http://127.0.0.1:{port}/health").status_code == 404


@pytest.mark.parametrize("variable", ["PROMETHEUS_ENABLED", "ENABLE_METRICS"])
def test_both_variables_switch_the_metrics_off(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "false")
    assert not Settings.from_environment().prometheus_enabled


def test_switched_off_metrics_are_served_nowhere(gateway_with: Callable[..., str]) -> None:
    (port,) = free_ports(1)
    url = gateway_with(**MEMORY, PROMETHEUS_PORT=str(port), ENABLE_METRICS="false")
    assert get(f"{url}/metrics").status_code == 404
    with pytest.raises(httpx.ConnectError):
        get(f"http://127.0.0.1:{port}/metrics")


def test_a_subscriber_that_does_not_read_blocks_no_shutdown() -> None:
    port, api_port = free_ports(2)
    settings = {**MEMORY, "PROMETHEUS_PORT": str(port), "API_PORT": str(api_port), "LOG_LEVEL": "ERROR"}
    gateway = subprocess.Popen([sys.executable, "-m", "gateway"], cwd=CHECKOUT, env={**os.environ, **settings})
    try:
        eventually(lambda: answers(f"http://127.0.0.1:{port}"), 30, "the figures are served")
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            reader.connect(("127.0.0.1", port))
            reader.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)
            gateway.terminate()
            assert gateway.wait(20) == 0
    finally:
        gateway.kill()
        gateway.wait()


def answers(url: str) -> bool:
    try:
        return get(url).is_success
    except httpx.TransportError:
        return False


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, (api_port,) = taken.getsockname()[1], free_ports(1)
        settings = {**MEMORY, "PROMETHEUS_PORT": str(port), "API_PORT": str(api_port)}
        ended = subprocess.run(
            [sys.executable, "-m", "gateway"], cwd=CHECKOUT, env={**os.environ, **settings}, capture_output=True,
            text=True, check=False, timeout=30,
        )  # fmt: skip
    assert (ended.returncode, f"PROMETHEUS_PORT={port}: " in ended.stderr) == (2, True), ended.stderr
