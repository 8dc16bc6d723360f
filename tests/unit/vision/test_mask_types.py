import pytest

from vision.body.mask_types import BodyPart, MaskType, part_rules

ORDER = "upper_body upper_body_tshirts upper_body_coat lower_body ethnic_combined baggy_lower dress"

TABLE = [
    ("upper_body", "upper 2", "upper 3, lower 2"),
    ("upper_body_tshirts", "upper 2, lower 2", "upper 3, lower 2"),
    ("upper_body_coat", "upper 2, lower 2", "upper 3, lower 2"),
    ("lower_body", "lower 2", "lower 2"),
    ("ethnic_combined", "upper 1, lower 10 shoes", "upper 5, lower 13 shoes"),
    ("baggy_lower", "lower 7 shoes", "lower 7 shoes"),
    ("dress", "dress 2", "dress 2"),
]


def described(mask_type: str, gender: str) -> str:
    rules = part_rules(MaskType(mask_type), gender)
    return ", ".join(f"{rule.part.value} {rule.radius}{' shoes' * rule.shoes}" for rule in rules)


def test_names_and_order_are_the_contract() -> None:
    assert [str(mask_type) for mask_type in MaskType] == ORDER.split()


@pytest.mark.parametrize(("mask_type", "male", "female"), TABLE)
def test_radii(mask_type: str, male: str, female: str) -> None:
    assert {described(mask_type, gender) for gender in ("M", "m", "MALE", "Male")} == {male}
    assert {described(mask_type, gender) for gender in ("F", "female", "", "unknown")} == {female}


def test_parts() -> None:
    assert {part.value for part in BodyPart} == {"upper", "lower", "dress"}
