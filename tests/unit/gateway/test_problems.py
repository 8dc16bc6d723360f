import json
from http import HTTPStatus
from typing import get_args

import pytest

from gateway.errors import PROBLEMS, Problem, problem_response
from gateway.pipelines.registry import known_pipelines
from vision.face.options import FaceErrorCode
from vision.photo_info import PhotoErrorCode


@pytest.mark.parametrize("code", sorted(PROBLEMS))
def test_every_code_makes_a_problem_document(code: str) -> None:
    response = problem_response(Problem(code, "why", retry_after=3), "/v1/run/body_masks")
    document = json.loads(bytes(response.body))
    assert response.status_code == document["status"] == PROBLEMS[code].status
    assert response.media_type == "application/problem+json"
    assert response.headers["retry-after"] == "3"
    assert document["code"] == code
    assert document["type"].endswith(f":{code}")
    assert document["detail"] == "why"
    assert document["instance"] == "/v1/run/body_masks"
    assert document["title"]


def test_the_path_is_told_as_a_reference() -> None:
    response = problem_response(Problem("not_found", "why"), "/a b/#?%/caf\u00e9\n/!tenant/x:y")
    assert json.loads(bytes(response.body))["instance"] == "/a%20b/%23%3F%25/caf%C3%A9%0A/!tenant/x:y"


def test_a_refusal_does_not_quote_the_whole_input() -> None:
    response = problem_response(Problem("job_not_found", f"No job {'x' * 60_000}"), f"/v1/jobs/{'x' * 60_000}")
    assert json.loads(bytes(response.body))["detail"].startswith("No job xxx")
    assert len(response.body) < 5000


@pytest.mark.parametrize(("wait_s", "header"), [(0.0, "1"), (0.2, "1"), (1.0, "1"), (2.1, "3")])
def test_the_time_to_wait_is_whole_seconds_and_never_too_short(wait_s: float, header: str) -> None:
    assert Problem("queue_full", "why", retry_after=wait_s).headers["Retry-After"] == header


@pytest.mark.parametrize("entry", PROBLEMS.values())
def test_statuses_are_errors(entry: object) -> None:
    assert HTTPStatus(getattr(entry, "status", 0)).value >= 400


def test_every_reason_for_refusing_a_photo_is_in_the_table() -> None:
    assert set(get_args(PhotoErrorCode)) <= PROBLEMS.keys()


def test_every_reason_for_refusing_a_face_is_in_the_table_and_of_its_pipeline() -> None:
    assert set(get_args(FaceErrorCode)) <= PROBLEMS.keys() & {*known_pipelines()["face_contours"].refusals}
