import pytest

from gateway.errors import Problem
from gateway.intake.submissions import check_media_type, read_submission


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "Application/JSON", "image/jpeg", "application/octet-stream"]
)
def test_photos_forms_and_json_are_accepted(kind: str) -> None:
    check_media_type(kind)


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/mixed", "x" * 500])
def test_other_types_are_refused(kind: str) -> None:
    with pytest.raises(Problem) as caught:
        check_media_type(kind)
    assert caught.value.code == "unsupported_media_type"
    assert len(caught.value.detail) < 200


def test_a_raw_photo_takes_its_parameters_from_the_address() -> None:
    submission = read_submission(b"\xff\xd8", "image/jpeg", "mask_types=dress&mask_types=upper_body&gender=m")
    assert submission.image == b"\xff\xd8"
    assert submission.fields == {"mask_types": ["dress", "upper_body"], "gender": "m"}


def test_a_field_in_both_places_is_refused() -> None:
    with pytest.raises(Problem, match="gender"):
        read_submission(b'{"image": "", "gender": "m"}', "application/json", "gender=f")


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(Problem, match="invalid_parameters"):
        read_submission(b"x", "image/png", "a=1&" * 100)
