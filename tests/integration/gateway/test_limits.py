"""Answers of gateways that are full, hurried, or without Triton."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.integration.gateway.answers import assert_problem
from tests.stack import eventually, free_ports

RUN = "/v1/run/body_masks"
GatewayWith = Callable[..., str]

pytestmark = pytest.mark.stack


def run(url: str, photo: bytes) -> httpx.Response:
    return httpx.post(f"{url}{RUN}", files={"image": photo}, timeout=60, trust_env=False)


def test_requests_beyond_the_queue_are_refused(gateway_with: GatewayWith, person: bytes) -> None:
    url = gateway_with(QUEUE_MAX_SIZE="2", SERVICE_CONCURRENCY="1")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: run(url, person), range(48)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < len(answers)
    for answer in refused:
        assert_problem(answer, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
    eventually(lambda: run(url, person).status_code == 200, 10, "a place is free again")


def test_without_triton_the_answer_comes_at_the_end_of_the_wait(gateway_with: GatewayWith, person: bytes) -> None:
    (port,) = free_ports(1)
    url = gateway_with(TRITON_GRPC_URL=f"127.0.0.1:{port}", TRITON_PATIENCE_S="0.2")
    answer = run(url, person)
    assert_problem(answer, "triton_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert httpx.get(f"{url}/health/ready", trust_env=False).status_code == 503
    assert httpx.get(f"{url}/health", trust_env=False).json()["status"] == "degraded"


def test_a_deadline_too_short_for_the_model(gateway_with: GatewayWith, person: bytes) -> None:
    url = gateway_with(REQUEST_TIMEOUT_S="0.02")
    answers = (run(url, person) for _ in range(50))
    assert_problem(next(answer for answer in answers if answer.status_code != 408), "deadline_exceeded")


def test_a_body_that_never_comes(gateway_with: GatewayWith) -> None:
    url = httpx.URL(gateway_with(REQUEST_TIMEOUT_S="0.2"))
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        lines = (f"POST {RUN} HTTP/1.1", "Host: x", "Content-Type: image/png", "Content-Length: 9", "", "")
        connection.sendall("\r\n".join(lines).encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
