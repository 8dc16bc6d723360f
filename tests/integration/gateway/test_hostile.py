"""Hostile inputs: each gets its own code, and none harms the next request."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.integration.gateway.answers import assert_problem
from tests.integration.gateway.hostile import Case, all_cases
from tests.stack import eventually

RUN = "/v1/run/body_masks"
CASES = all_cases()

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module", autouse=True)
def good_request_works_afterwards(client: httpx.Client, person: bytes) -> Iterator[None]:
    yield
    answer = client.post(RUN, files={"image": person}, data={"mask_types": "upper_body"})
    assert answer.status_code == 200, answer.text
    assert answer.content.startswith(b"\x89PNG")


def test_the_table_is_long_and_its_names_differ() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused_with_its_code(client: httpx.Client, case: Case) -> None:
    headers = {"Content-Type": case.content_type, **case.headers}
    assert_problem(client.post(f"{RUN}?{case.query}", content=case.content, headers=headers), case.code)


def test_several_people_where_one_is_asked_for(client: httpx.Client, couple: bytes) -> None:
    answer = client.post(RUN, files={"image": couple}, data={"person": "single"})
    assert_problem(answer, "several_persons")


def test_a_hundred_megabytes_are_refused_by_their_announcement(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        head = f"POST {RUN} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: 100000000\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_hundred_megabytes_sent_whole(client: httpx.Client) -> None:
    answer = client.post(RUN, content=b"\0" * 100_000_000, headers={"Content-Type": "image/jpeg"})
    assert_problem(answer, "body_too_large")


def test_a_hundred_megabytes_of_unknown_length(client: httpx.Client) -> None:
    pieces = (b"\0" * 1_000_000 for _ in range(100))
    answer = client.post(RUN, content=pieces, headers={"Content-Type": "image/jpeg"})
    assert_problem(answer, "body_too_large")


def test_disconnected_clients_free_their_places(client: httpx.Client, person: bytes) -> None:
    lines = (f"POST {RUN} HTTP/1.1", "Host: x", "Content-Type: image/png", f"Content-Length: {len(person)}", "", "")
    head = "\r\n".join(lines).encode()
    for sent in (head, head + person[: len(person) // 2], head + person) * 20:
        with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
            connection.sendall(sent)
    eventually(lambda: client.get("/health").json()["queue_size"] == 0, 30, "the queue is empty again")
