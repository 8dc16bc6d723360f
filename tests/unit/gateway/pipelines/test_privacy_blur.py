import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.pipelines.registry import build_registry, parameters_json
from gateway.settings import Settings
from steps.detect import Search
from steps.privacy_blur import PrivacyBlurParameters
from tests.json_values import JSON_VALUES
from tests.unit.gateway.pipelines.codes import code_of

REGISTRY = build_registry(Settings())
BLUR, DETECT = REGISTRY["privacy_blur"], REGISTRY["detect"]
BOX = st.tuples(*[st.integers(-9, 9)] * 2, *[st.integers(10, 99)] * 2)


def parsed(**fields: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(parameters_json(BLUR, fields))
    return document


def refusal(**fields: object) -> str:
    with pytest.raises(Problem) as caught:
        parameters_json(BLUR, fields)
    assert caught.value.code == "invalid_parameters"
    return caught.value.detail


def test_nothing_given_is_what_the_steps_take_for_nothing() -> None:
    assert PrivacyBlurParameters.from_json(parsed()) == PrivacyBlurParameters()
    assert Search.from_json(json.loads(parameters_json(DETECT, {}))) == Search()
    assert Search.from_json(parsed()) == Search(names=("faces", "plates"))


@pytest.mark.parametrize(
    "fields", [{"smallest_face": 7}, {"smallest_object": 10_001}, {"rotations": "sometimes"}, {"smallest_face": "nan"}]
)
def test_search_detail_parameters_have_limits(fields: dict[str, object]) -> None:
    assert next(iter(fields)) in refusal(**fields)


@given(st.lists(BOX, max_size=5))
def test_boxes_as_lists_as_json_text_or_between_semicolons_say_the_same(boxes: list[tuple[int, ...]]) -> None:
    expected = [list(map(float, box)) for box in boxes]
    assert parsed(keep=boxes)["keep"] == parsed(keep=json.dumps(boxes))["keep"] == expected
    assert parsed(keep=";".join(",".join(map(str, box)) for box in boxes))["keep"] == expected


@pytest.mark.parametrize("thresholds", [{"face": 0.4, "vehicles": 0.5}, "face=0.4, vehicles=0.5"])
def test_thresholds_are_an_object_or_pairs(thresholds: object) -> None:
    assert parsed(thresholds=thresholds)["thresholds"] == {"face": 0.4, "vehicles": 0.5}


def test_objects_are_given_as_json_or_its_text() -> None:
    objects = [{"label": "car", "box": [1.0, 2.0, 3.0, 4.0]}, {"box": [0, 0, 1, 1]}]
    expected = [objects[0], {"label": "face", "box": [0.0, 0.0, 1.0, 1.0]}]
    assert parsed(objects=objects)["objects"] == parsed(objects=json.dumps(objects))["objects"] == expected


def test_no_detector_runs_where_nothing_is_searched() -> None:
    assert Search.from_json(parsed(hide="none")).names == ()


def test_metadata_is_kept_by_name_or_not_at_all() -> None:
    assert parsed()["metadata"] == ["icc"]
    assert parsed(metadata="exif,icc")["metadata"] == ["exif", "icc"]
    assert parsed(metadata="none")["metadata"] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("hide", value) for value in (",", "x" * 65, [7], ["face"] * 65)),
        *(("keep", value) for value in ("1,2,3", "3,2,1,4", "1,2,nan,4", "[", [[1, 2, 3, 4]] * 65, [[1, 2, 1, 4]], 7)),
        *(("objects", value) for value in ("[", [{}], [{"box": [3, 2, 1, 4]}], [{"box": [1, 2, 3, 4], "x": 1}], "7")),
        *(("thresholds", value) for value in ("face", "face=2", {"face": -1}, {"": 0.5}, [0.5])),
        *(("strength", value) for value in (0.4, 5, "nan")),
        *(("grow", value) for value in (-0.1, 3)),
        *(("quality", value) for value in (0, 101, 7.5)),
        *(("color", value) for value in ("red", "#fff", "#1234567")),
        *((name, "swirl") for name in ("style", "shape", "format", "metadata", "include", "feather")),
    ],
)
def test_invalid_input_is_refused(name: str, value: object) -> None:
    detail = refusal(**{name: value})
    assert detail.startswith(f"{name}: ")
    assert len(detail) < 400


@given(st.dictionaries(st.sampled_from([*BLUR.parameters.model_fields]), JSON_VALUES))
def test_any_json_is_accepted_or_refused_with_a_problem(fields: dict[str, object]) -> None:
    assert code_of(BLUR, fields) in {None, "invalid_parameters"}
