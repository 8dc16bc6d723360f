import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.pipelines.registry import build_registry, parameters_json
from gateway.settings import Settings
from gateway.settings.settings import MASK_TYPES
from tests.json_values import JSON_VALUES
from tests.unit.gateway.pipelines.codes import code_of

PIPELINE = build_registry(Settings())["body_masks"]


def parsed(**fields: object) -> dict[str, Any]:
    document = json.loads(parameters_json(PIPELINE, fields))
    assert isinstance(document, dict)
    return document


def refusal(**fields: object) -> str:
    with pytest.raises(Problem) as caught:
        parameters_json(PIPELINE, fields)
    assert caught.value.code == "invalid_parameters"
    return caught.value.detail


def test_nothing_given_means_the_contracts_defaults() -> None:
    assert parsed() == {
        "mask_types": list(MASK_TYPES),
        "gender": "other",
        "style": "garment",
        "frame": "source",
        "crop": "person",
        "person": "largest",
        "include": [],
    }


@pytest.mark.parametrize("empty", [None, "", [], [""]])
def test_an_empty_field_counts_as_not_given(empty: object) -> None:
    assert parsed(mask_types=empty, style=empty, include=empty) == parsed()


@given(st.lists(st.sampled_from(MASK_TYPES), min_size=1, max_size=12), st.sampled_from([",", ", ", " ,,"]))
def test_a_list_and_comma_separated_text_say_the_same(types: list[str], comma: str) -> None:
    expected = list(dict.fromkeys(types))
    assert parsed(mask_types=types)["mask_types"] == expected
    assert parsed(mask_types=comma.join(types))["mask_types"] == expected
    assert parsed(mask_types=[comma.join(types)])["mask_types"] == expected


@pytest.mark.parametrize(
    ("given_gender", "gender"),
    [("m", "M"), ("MALE", "M"), (" Female ", "F"), ("F", "F"), ("nonbinary", "nonbinary"), ("X", "X")],
)
def test_gender(given_gender: str, gender: str) -> None:
    assert parsed(gender=given_gender)["gender"] == gender


def test_an_empty_list_is_refused() -> None:
    assert "at least one" in refusal(mask_types=" , ")


@pytest.mark.parametrize("name", ["style", "frame", "person", "include", "mask_types"])
def test_a_wrong_value_is_named_beside_the_accepted_ones(name: str) -> None:
    detail = refusal(**{name: "plain"})
    assert detail.startswith(f"{name}: 'plain' is not accepted; accepted: ")
    schema = PIPELINE.parameters.model_json_schema()["properties"][name]
    assert all(value in detail for value in schema.get("enum", schema.get("items", {}).get("enum")))


def test_an_unknown_field_is_named_beside_the_accepted_ones() -> None:
    detail = refusal(colour="red")
    assert "'colour'" in detail
    assert all(name in detail for name in PIPELINE.parameters.model_fields)


def test_hostile_sizes_give_short_answers() -> None:
    assert "at most" in refusal(mask_types=["dress"] * 100_000)
    assert "at most" in refusal(mask_types="dress," * 100_000)
    assert len(refusal(style="x" * 1_000_000)) < 300
    assert len(refusal(**{f"field{number}": 1 for number in range(100_000)})) < 400
    assert "gender" in refusal(gender="x" * 33)


@given(st.dictionaries(st.sampled_from([*PIPELINE.parameters.model_fields, "odd"]), JSON_VALUES))
def test_any_json_is_accepted_or_refused_with_a_problem(fields: dict[str, object]) -> None:
    assert code_of(PIPELINE, fields) in {None, "invalid_parameters"}
