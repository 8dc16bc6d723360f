"""Clients of the running stack."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.stack import CHECKOUT, RunningStack, eventually, free_ports


@pytest.fixture(scope="session")
def client(gateway_url: str) -> Iterator[httpx.Client]:
    """A client of the shared stack."""
    with httpx.Client(base_url=gateway_url, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def gateway_with(stack: RunningStack) -> Iterator[Callable[..., str]]:
    """Starts further gateways before the stack's Triton, with settings of their own; gives their base URLs."""
    with starting(stack) as start:
        yield start


@pytest.fixture(scope="module")
def gateways(stack: RunningStack) -> Iterator[Callable[..., str]]:
    """The same, for a module."""
    with starting(stack) as start:
        yield start


@contextmanager
def starting(stack: RunningStack) -> Iterator[Callable[..., str]]:
    """Starts gateways, and stops them in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: str) -> str:
        (port,) = free_ports(1)
        environment = {**os.environ, "TRITON_GRPC_URL": stack.triton, "LOG_LEVEL": "ERROR", **settings}
        environment["API_PORT"] = str(port)
        started.append(subprocess.Popen([sys.executable, "-m", "gateway"], cwd=CHECKOUT, env=environment))
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: answers(url), 30, "the gateway answers")
        return url

    yield start
    for process in started:
        process.terminate()
    for process in started:
        process.wait(40)


def answers(url: str) -> bool:
    """Whether a gateway is live."""
    try:
        return httpx.get(f"{url}/health/live", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="session")
def person(astronaut: Path) -> bytes:
    """An encoded photo of one person."""
    return astronaut.read_bytes()
