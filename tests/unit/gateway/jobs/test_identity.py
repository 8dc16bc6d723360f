import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.jobs.job import Callback, ImageReference, check_id, fingerprint

CALLBACKS = st.lists(
    st.builds(Callback, st.sampled_from(["message", "webhook", "upload"]), st.text(max_size=5)), max_size=3
)
IMAGES = st.binary(max_size=4) | st.builds(
    ImageReference, st.sampled_from(["photo", "url", "s3"]), st.sampled_from(["", "a", "b"])
)
PARAMETERS = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | st.text(max_size=2), max_size=3)
REQUESTS = st.tuples(st.sampled_from(["body_masks", "detect"]), PARAMETERS, IMAGES, CALLBACKS)


def of(request) -> bytes:
    pipeline, parameters, image, callbacks = request
    return fingerprint(pipeline, json.dumps(parameters), image, callbacks)


@given(REQUESTS, REQUESTS)
def test_equal_requests_alone_share_a_fingerprint(one, other):
    assert (of(one) == of(other)) == (one == other)


@given(REQUESTS)
def test_the_order_of_parameters_and_their_spacing_do_not_count(request_):
    pipeline, parameters, image, callbacks = request_
    spaced = json.dumps(dict(reversed(parameters.items())), indent=2)
    assert fingerprint(pipeline, spaced, image, tuple(callbacks)) == of(request_)


def test_a_photo_and_a_reference_to_one_differ():
    references = [ImageReference(kind, "x") for kind in ("photo", "url", "s3")]
    assert len({fingerprint("detect", "{}", image) for image in (b"x", *references)}) == 4


def test_a_fingerprint_stays_the_same_over_releases():
    known = "bc81ce7ca288d4cfeaeb731e3da04b292dbadbfe1f4f93794466704ee87cd057"
    assert fingerprint("body_masks", '{"gender":"M"}', b"photo").hex() == known


@pytest.mark.parametrize("value", ["1", "x" * 128, "req-123-001", "Анна", "a b", "…", "👩‍🎨"])
@pytest.mark.parametrize("field", ["user_id", "request_id"])
def test_a_valid_id_is_returned_unchanged(field, value):
    assert check_id(field, value) == value


@pytest.mark.parametrize("value", ["x" * 129, "a\nb", "\x00", "a\x7f", "\x85", "\ud800"])
@pytest.mark.parametrize("field", ["user_id", "request_id"])
def test_an_invalid_id_is_refused_with_the_fields_name(field, value):
    with pytest.raises(Problem, match=f"invalid_parameters: {field}: ") as caught:
        check_id(field, value)
    assert caught.value.code == "invalid_parameters"
    assert caught.value.detail.isprintable()


def test_only_a_user_may_be_unnamed():
    assert check_id("user_id", "") == ""
    with pytest.raises(Problem, match="request_id: must not be empty"):
        check_id("request_id", "")
