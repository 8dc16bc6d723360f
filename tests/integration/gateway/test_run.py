"""Runs of `body_masks` through the whole stack."""

import base64
import email
import email.policy
import io
import json

import httpx
import numpy as np
import pytest
from PIL import Image

from gateway.http.run import RunAnswer, RunSummary
from gateway.settings.settings import MASK_TYPES

RUN = "/v1/run/body_masks"

pytestmark = pytest.mark.stack


def pixels(png: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(png)))


def assert_mask_of(png: bytes, size: tuple[int, int]) -> None:
    """An 8-bit mask of this (width, height) that covers some of it and not all."""
    mask = pixels(png)
    assert mask.shape == (size[1], size[0])
    assert set(np.unique(mask)) == {0, 255}


@pytest.fixture(scope="module")
def size(person: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(person)).size


def test_one_mask_is_a_png_of_the_photos_size(client: httpx.Client, person: bytes, size: tuple[int, int]) -> None:
    answer = client.post(RUN, files={"image": person}, data={"mask_types": "upper_body", "gender": "female"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/png"
    assert 'filename="upper_body_mask.png"' in answer.headers["content-disposition"]
    assert "cache;dur=" in answer.headers["server-timing"]
    assert answer.headers["x-made-by"].startswith('lite; model="body_masks_lite"; pose_detection="')
    assert_mask_of(answer.content, size)


def test_masks_of_a_large_photo_have_no_steps_and_are_those_of_the_small_one(
    client: httpx.Client, person: bytes
) -> None:
    small = Image.open(io.BytesIO(person)).convert("RGB")
    file = io.BytesIO()
    small.resize((small.width * 5, small.height * 5)).save(file, "JPEG", quality=90)
    fields = {"mask_types": "upper_body", "style": "labels", "include": "label_map,overlay"}
    answer = client.post(RUN, files={"image": file.getvalue()}, data=fields, headers={"Accept": "application/json"})
    artifacts = {name: base64.b64decode(one["base64"]) for name, one in answer.json()["artifacts"].items()}
    mask, labels = pixels(artifacts["upper_body_mask.png"]) > 0, pixels(artifacts["label_map.png"])
    upper = np.isin(labels, (4, 7))
    assert np.count_nonzero(mask != upper) < 0.01 * np.count_nonzero(upper)
    rows = mask[:, mask.any(axis=0)][mask.any(axis=1)]
    starts = rows.argmax(axis=1)
    assert np.count_nonzero(np.diff(starts)) > 0.4 * len(starts), "an edge moves from row to row, not every fifth row"


def test_every_way_in_gives_the_same_bytes(client: httpx.Client, person: bytes) -> None:
    text = base64.b64encode(person).decode()
    fields = {"mask_types": "upper_body", "gender": "F"}
    answers = [
        *(client.post(RUN, files={name: person}, data=fields) for name in ("image", "file", "user_image")),
        *(
            client.post(RUN, json={"image": image, **fields})
            for image in (text, {"base64": text}, {"type": "base64", "data": f"data:image/png;base64,{text}"})
        ),
        client.post(RUN, params=fields, content=person, headers={"Content-Type": "image/png"}),
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


def test_all_seven_come_as_json_by_default(client: httpx.Client, person: bytes, size: tuple[int, int]) -> None:
    document = client.post(RUN, files={"image": person}).raise_for_status().json()
    assert list(document["artifacts"]) == [f"{name}_mask.png" for name in MASK_TYPES]
    assert RunAnswer.model_validate(document).model_dump(mode="json", exclude_unset=True) == document
    assert (document["photo"]["width"], document["photo"]["height"]) == size
    (found,) = document["persons"]
    assert len(found["keypoints"]) == 18
    for artifact in document["artifacts"].values():
        png = base64.b64decode(artifact["base64"])
        assert (artifact["content_type"], artifact["bytes"]) == ("image/png", len(png))
        assert pixels(png).shape == (size[1], size[0])


def test_several_come_as_multipart_on_request(client: httpx.Client, person: bytes) -> None:
    fields = {"mask_types": "upper_body,dress", "include": "keypoints"}
    answer = client.post(RUN, files={"image": person}, data=fields, headers={"Accept": "multipart/mixed"})
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    message = email.message_from_bytes(head + answer.content, policy=email.policy.HTTP)
    parts = {part.get_filename(): part.get_content() for part in message.iter_parts()}
    assert list(parts) == ["result.json", "upper_body_mask.png", "dress_mask.png", "keypoints.json"]
    result = json.loads(parts["result.json"])
    assert RunSummary.model_validate(result).model_dump(mode="json", exclude_unset=True) == result
    assert list(result["artifacts"]) == list(parts)[1:]
    assert pixels(parts["dress_mask.png"]).dtype == np.uint8


def test_the_canvas_frame(client: httpx.Client, person: bytes) -> None:
    fields = {"mask_types": "upper_body", "frame": "canvas", "style": "labels"}
    answer = client.post(RUN, files={"image": person}, data=fields)
    assert_mask_of(answer.content, (768, 1024))


def test_everyone_gets_masks_of_their_own(client: httpx.Client, couple: bytes) -> None:
    fields = {"mask_types": "upper_body", "person": "all"}
    document = client.post(RUN, files={"image": couple}, data=fields).raise_for_status().json()
    assert [person["index"] for person in document["persons"]] == [0, 1]
    assert list(document["artifacts"]) == ["person_0/upper_body_mask.png", "person_1/upper_body_mask.png"]


def test_the_request_id_is_answered(client: httpx.Client, person: bytes) -> None:
    headers = {"X-Request-Id": "order-66", "Accept": "application/json"}
    answer = client.post(RUN, files={"image": person}, headers=headers)
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "order-66"


def test_health_and_pipelines_say_ready(client: httpx.Client) -> None:
    health = client.get("/health").raise_for_status().json()
    assert (health["status"], health["ready"], health["segmentation_ready"]) == ("ok", True, True)
    assert ("body_masks_lite", "READY") in {(model["name"], model["state"]) for model in health["models"]}
    assert client.get("/health/ready").status_code == 200
    entries = client.get("/v1/pipelines").json()["pipelines"]
    assert [entry["name"] for entry in entries] == ["body_masks", "face_contours", "privacy_blur", "detect"]
    assert all(entry["ready"] for entry in entries)
