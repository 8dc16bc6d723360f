"""Request heads that never end, or never come."""

import socket
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.protocol import HEAD_TIMEOUT_S, MAX_HEAD_BYTES

START = b"POST /v1/run/body_masks HTTP/1.1\r\nHost: x\r\n"
MOST_READ = 1 << 20


def connect(url: str) -> socket.socket:
    address = urlsplit(url)
    return socket.create_connection((address.hostname, address.port), timeout=HEAD_TIMEOUT_S + 20)


def read_to_end(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


def test_a_head_that_never_ends_is_cut_off(gateway_url: str) -> None:
    with connect(gateway_url) as connection:
        connection.sendall(START + b"X: ")
        sent = 0
        try:
            while sent < 64 * MOST_READ:
                connection.sendall(b"y" * 65536)
                sent += 65536
        except OSError:  # the gateway has closed its end
            pass
    assert sent < 8 * MOST_READ


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES, 2 * MAX_HEAD_BYTES])
def test_a_large_head_is_told_why(gateway_url: str, size: int) -> None:
    with connect(gateway_url) as connection:
        connection.sendall(START + b"X: " + b"y" * size + b"\r\nContent-Length: 0\r\n\r\n")
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert str(MAX_HEAD_BYTES).encode() in answer


def test_a_head_within_the_limit_passes_however_it_is_cut(gateway_url: str) -> None:
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"y" * (MAX_HEAD_BYTES - 100)
    for cut in (len(head), 5_000):
        with connect(gateway_url) as connection:
            for start in range(0, len(head), cut):
                connection.sendall(head[start : start + cut])
            connection.sendall(b"\r\n\r\n")
            assert read_to_end(connection).startswith(b"HTTP/1.1 200 ")


def test_connections_whose_head_does_not_come_are_closed(gateway_url: str) -> None:
    with connect(gateway_url) as silent, connect(gateway_url) as slow:
        slow.sendall(START)
        assert read_to_end(silent) == b""
        assert read_to_end(slow) == b""


def test_a_connection_used_many_times_is_not_mistaken_for_one(gateway_url: str) -> None:
    headers = {"X-Padding": "y" * 2000}
    with httpx.Client(base_url=gateway_url, headers=headers, trust_env=False) as client:
        answers = [client.get("/health/live") for _ in range(3 * MAX_HEAD_BYTES // 2000)]
    assert {answer.status_code for answer in answers} == {200}
