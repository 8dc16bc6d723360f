import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.s3.buckets import parse_location
from gateway.settings import Settings

SETTINGS = Settings(minio_endpoint="s3.example.com")
SEVERAL = Settings(minio_endpoint="s3.example.com", image_buckets="uploads, masks")


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("a.jpg", "masks/a.jpg"),
        ("masks/a.jpg", "masks/masks/a.jpg"),
        ("/a.jpg", "masks//a.jpg"),
        ("a b/ä%2F?#.jpg", "masks/a b/ä%2F?#.jpg"),
        ("s3://masks/a/b.jpg", "masks/a/b.jpg"),
        ("s3://masks/s3://x", "masks/s3://x"),
    ],
)
def test_a_photo_is_in_a_named_bucket_or_in_that_of_the_masks(text, location):
    assert parse_location(text, SETTINGS) == location


def test_other_buckets_may_be_allowed():
    assert parse_location("s3://uploads/a.jpg", SEVERAL) == "uploads/a.jpg"
    assert parse_location("a.jpg", SEVERAL) == "masks/a.jpg"


@pytest.mark.parametrize("text", ["s3://mask-photos/a", "s3:///a", "s3://", "s3://masks.example/a", "s3://MASKS/a"])
def test_other_peoples_buckets_are_refused_with_those_that_are_not(text):
    with pytest.raises(
        Problem, match=r"invalid_parameters: image: bucket .* is not accepted; accepted: uploads, masks"
    ):
        parse_location(text, SEVERAL)


def test_the_bucket_of_the_masks_is_refused_where_others_alone_are_allowed():
    with pytest.raises(Problem, match="bucket 'masks' is not accepted; accepted: uploads"):
        parse_location("a.jpg", Settings(minio_endpoint="s3.example.com", image_buckets="uploads"))


@pytest.mark.parametrize(
    "text", ["", "s3://masks", "s3://masks/", "../a", "a/../b", "a/.", ".", "a\nb", "a\x00", "x" * 1025]
)
def test_an_invalid_s3_location_is_refused(text):
    with pytest.raises(Problem, match="invalid_parameters: image: "):
        parse_location(text, SETTINGS)


def test_a_photo_in_s3_cannot_be_read_without_s3():
    with pytest.raises(Problem, match="invalid_parameters: image: type 's3' is not accepted"):
        parse_location("a.jpg", Settings(minio_endpoint=""))


@given(st.text(max_size=20))
def test_a_location_can_be_parsed_again(text):
    try:
        location = parse_location(text, SETTINGS)
    except Problem:
        return
    assert parse_location(f"s3://{location}", SETTINGS) == location
