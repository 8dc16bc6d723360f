import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache.cache import Similarity
from gateway.cache.results import Work, key_of, similarity_of
from gateway.pipelines.registry import build_registry
from gateway.settings import Settings
from tests.integration.gateway.photos import encode, noise
from tests.unit.gateway.cache.making import DIAGONAL, FACE, PHOTO, PIPELINE, PIXELS, parameters, work

TOLERANCE = 0.002
REENCODED = encode(PIXELS, "JPEG", quality=90)


def like(wanted: Work, tolerance: float = TOLERANCE) -> Similarity | None:
    return similarity_of(wanted, "versions", tolerance)


def two_faces() -> bytes:
    """Of about the same size: which of them is the largest is a matter of a pixel."""
    faces = [[{"x": float(x) + moved, "y": float(y)} for x, y in FACE] for moved in (0, 40)]
    return json.dumps({"landmarks": json.dumps(faces)}).encode()


def share(first: Similarity | None, second: Similarity | None) -> bool:
    """Whether the second request may have the first one's result, if their hashes are near."""
    return bool(first and second and first.group == second.group and first.alike(second.landmarks))


def test_equal_requests_have_one_key():
    assert key_of(work(), "versions") == key_of(work(), "versions")
    assert key_of(work(), "versions").pipeline == "face_contours"


@pytest.mark.parametrize(
    "other",
    [
        work(encode(PIXELS, "PNG", compress_level=1)),
        work(parameters=parameters(FACE + 0.001)),
        work(parameters=parameters(frame="source")),
        work(pipeline=build_registry(Settings())["body_masks"]),
        work(pipeline=replace(PIPELINE, model="face_contours_full")),
        work(tenant="acme"),
    ],
    ids=["photo", "landmarks", "frame", "pipeline", "model", "tenant"],
)
def test_the_key_covers_everything_that_decides_the_result(other: Work):
    assert key_of(other, "versions").digest != key_of(work(), "versions").digest


def test_new_models_have_new_keys():
    assert key_of(work(), "versions").digest != key_of(work(), "others").digest


@given(parts=st.lists(st.binary(max_size=4), min_size=2, max_size=2), cut=st.integers(0, 4))
def test_bytes_do_not_move_from_one_part_to_the_next(parts: list[bytes], cut: int):
    text, photo = parts
    moved = Work(PIPELINE, photo[cut:], text + photo[:cut])
    same = moved == Work(PIPELINE, photo, text)
    assert (key_of(moved, "v") == key_of(Work(PIPELINE, photo, text), "v")) == same


def test_a_photo_that_was_encoded_anew_is_alike():
    first, second = like(work()), like(work(REENCODED))
    assert share(first, second)
    assert (first.photo_hash ^ second.photo_hash).bit_count() <= 4


@pytest.mark.parametrize("moved", [0.9, 1.1])
def test_landmarks_may_move_as_far_as_the_tolerance(moved: float):
    """One landmark is enough: a mean would let a mouth open."""
    landmarks = FACE.copy()
    landmarks[33, 1] += moved * TOLERANCE * DIAGONAL
    assert share(like(work()), like(work(parameters=parameters(landmarks)))) == (moved < 1)


@pytest.mark.parametrize(
    "other",
    [
        work(parameters=parameters(frame="source")),
        work(parameters=parameters(segmentation_map="AAAA")),
        work(encode(PIXELS[:, :-1], "PNG")),
        work(parameters=parameters(np.concatenate([FACE, FACE[:10]]))),
        work(pipeline=replace(PIPELINE, model="face_contours_full")),
        work(tenant="acme"),
    ],
    ids=["frame", "label map", "size", "number of landmarks", "model", "tenant"],
)
def test_similar_requests_must_agree_in_all_other_parameters(other: Work):
    assert not share(like(work()), like(other))


@pytest.mark.parametrize(
    "wanted",
    [
        work(parameters=parameters(None)),
        work(parameters=b"{}"),
        work(parameters=parameters(embed_image=True)),
        work(parameters=two_faces()),
        work(parameters=parameters(FACE[:5])),
        work(parameters=parameters(FACE + 5000)),
        work(PHOTO[:200]),
        work(b"no photo"),
    ],
    ids=["no landmarks", "nothing", "photo embedded", "two faces", "too few", "outside", "cut off", "no photo"],
)
def test_photos_alone_never_make_requests_similar(wanted: Work):
    assert like(wanted) is None


def test_two_forms_of_the_same_landmarks_are_alike():
    listed = json.loads(json.loads(parameters())["landmarks"])
    given_as_list = json.dumps({**json.loads(parameters()), "landmarks": listed}).encode()
    assert share(like(work()), like(work(parameters=given_as_list)))


def test_another_photo_has_another_hash():
    other = like(work(encode(noise(), "PNG")))
    assert (like(work()).photo_hash ^ other.photo_hash).bit_count() > 15
