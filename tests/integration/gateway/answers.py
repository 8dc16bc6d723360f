"""What an error answer must look like."""

import httpx

from gateway.errors import PROBLEMS


def assert_problem(answer: httpx.Response, code: str) -> None:
    """A problem document with this code and its status."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text[:300]
    document = answer.json()
    assert (document["code"], answer.status_code) == (code, PROBLEMS[code].status), document
    assert document["status"] == answer.status_code
    assert document["detail"]
    assert document["title"]
    assert answer.headers["x-request-id"]
