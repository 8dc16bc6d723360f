import base64
import email
import email.policy
import json

import pytest

from gateway.errors import Problem
from gateway.http.run import answer, check_accept, server_timing
from gateway.pipelines.outputs import Artifact, InferenceResult
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings

PIPELINE = build_registry(Settings())["body_masks"]
RESULT = {"status": "completed", "reason": None, "photo": {"width": 4, "height": 3}}
ONE = InferenceResult(RESULT, (Artifact("person_0/dress_mask.png", b"\x89PNG\r\n--x"),))
TWO = InferenceResult(RESULT, (*ONE.artifacts, Artifact("keypoints.json", b"[1]")))


def test_one_artifact_is_its_bytes() -> None:
    response = answer("*/*", "r1", PIPELINE, ONE)
    assert (response.body, response.media_type) == (ONE.artifacts[0].data, "image/png")
    assert response.headers["content-disposition"] == 'inline; filename="person_0/dress_mask.png"'


@pytest.mark.parametrize(("accept", "inference"), [("*/*", TWO), ("application/json", ONE), (None, TWO)])
def test_json_holds_the_result_and_every_artifact(accept: str | None, inference: InferenceResult) -> None:
    document = json.loads(bytes(answer(accept, "r1", PIPELINE, inference).body))
    assert (document["request_id"], document["pipeline"], document["status"]) == ("r1", "body_masks", "completed")
    assert document["photo"] == {"width": 4, "height": 3}
    assert "reason" not in document
    decoded = {name: base64.b64decode(item["base64"]) for name, item in document["artifacts"].items()}
    assert decoded == {artifact.name: artifact.data for artifact in inference.artifacts}


def test_multipart_mixed_reads_back_with_another_parser() -> None:
    response = answer("multipart/mixed", "r1", PIPELINE, TWO)
    head = f"Content-Type: {response.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + bytes(response.body), policy=email.policy.HTTP)
    result, *parts = message.iter_parts()
    document = json.loads(bytes(answer("application/json", "r1", PIPELINE, TWO).body))
    for artifact in document["artifacts"].values():
        del artifact["base64"]
    assert json.loads(result.get_content()) == document
    assert [part.get_filename() for part in parts] == ["person_0/dress_mask.png", "keypoints.json"]
    assert parts[0].get_content() == ONE.artifacts[0].data


def test_the_only_artifact_of_a_type_is_given_alone_on_request() -> None:
    response = answer("image/png", "r1", PIPELINE, TWO)
    assert (response.body, response.media_type) == (ONE.artifacts[0].data, "image/png")
    assert answer("image/*;q=0.5, */*", "r1", PIPELINE, TWO).media_type == "application/json"


def test_an_image_cannot_hold_several_images() -> None:
    twice = InferenceResult(RESULT, (*TWO.artifacts, Artifact("person_1/dress_mask.png", b"")))
    with pytest.raises(Problem) as caught:
        answer("image/png", "r1", PIPELINE, twice)
    assert caught.value.code == "not_acceptable"


def test_no_artifacts_are_still_an_answer() -> None:
    assert json.loads(bytes(answer("*/*", "r1", PIPELINE, InferenceResult(RESULT, ())).body))["artifacts"] == {}


def test_a_photo_with_an_unusable_header_is_refused_before_any_work() -> None:
    check_accept("image/*", PIPELINE)
    with pytest.raises(Problem, match="not_acceptable"):
        check_accept("text/html", PIPELINE)


def test_server_timing() -> None:
    assert server_timing({"wait": 0.04, "infer": 12.0}.items()) == "wait;dur=0.0, infer;dur=12.0"
