import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.pipelines.registry import build_registry, parameters_json
from gateway.settings import Settings
from steps.face_contours import FaceContourParameters
from tests.json_values import JSON_VALUES
from tests.unit.gateway.pipelines.codes import code_of
from vision.face.landmarks import MAX_CHARACTERS

PIPELINE = build_registry(Settings())["face_contours"]
GIVEN, FOUND = "face_contours_given", "face_contours_lite"


def parsed(**fields: object) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(parameters_json(PIPELINE, fields))
    return document


def nested(depth: int) -> object:
    value: object = []
    for _ in range(depth):
        value = [value]
    return value


def refusal(**fields: object) -> str:
    with pytest.raises(Problem) as caught:
        parameters_json(PIPELINE, fields)
    assert caught.value.code == "invalid_parameters"
    return caught.value.detail


def test_nothing_given_is_what_the_step_takes_for_nothing() -> None:
    assert FaceContourParameters.from_json(parsed()) == FaceContourParameters()


@pytest.mark.parametrize(("landmarks", "model"), [("1,2", GIVEN), ([{"x": 1}], GIVEN), ("", FOUND), (None, FOUND)])
def test_landmarks_choose_the_model(landmarks: object, model: str) -> None:
    assert PIPELINE.model_for(parameters_json(PIPELINE, {"landmarks": landmarks})) == model
    assert PIPELINE.models == ("face_contours_full", FOUND, GIVEN)


@given(st.lists(st.dictionaries(st.sampled_from("xy"), st.floats(allow_nan=False)), min_size=1, max_size=3))
def test_landmarks_as_json_or_as_its_text_say_the_same(points: list[dict[str, float]]) -> None:
    text = parsed(landmarks=points)["landmarks"]
    assert json.loads(text) == points
    assert parsed(landmarks=text)["landmarks"] == text


@given(st.binary(min_size=1))
def test_a_label_map_is_base64_however_it_is_wrapped(content: bytes) -> None:
    text = base64.b64encode(content).decode()
    wrapped = f"data:image/png;base64,{text[:9]}\r\n{text[9:]}\n"
    assert {parsed(segmentation_map=given)["segmentation_map"] for given in (text, wrapped)} == {text}


def test_regions_by_index_stay_what_they_are() -> None:
    rings = {"nose": [1, 2, 3], "\ud800": [4]}
    assert json.loads(parsed(segmentation_map=rings)["segmentation_map"]) == rings
    for text in (" {'a': [1]}", "\ufeff {'a': [1]}"):
        assert parsed(segmentation_map=text)["segmentation_map"] == " {'a': [1]}"


@pytest.mark.parametrize("colors", [{"nose": "#D4A574", "a b": "#000000"}, "nose=#D4A574, a b = #000000,"])
def test_colors_are_an_object_or_pairs(colors: object) -> None:
    expected = {"nose": "#D4A574", "a b": "#000000"}
    assert parsed(colors=colors)["colors"] == parsed(colors=json.dumps(expected))["colors"] == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("segmentation_map", value) for value in ("a", "é", "?", 7, True, '{"\ud800": [1]}', {"a": nested(9999)})),
        *(("landmarks", value) for value in (7, True, "x" * (MAX_CHARACTERS + 1), [0] * MAX_CHARACTERS)),
        *(("landmarks", value) for value in ("\ud800", nested(9999))),
        *(
            ("colors", value)
            for value in ("nose", "nose=red", "{", "[" * 9999, '{"a": 1}', ["#000000"], {"a": "#00000"})
        ),
        ("colors", {str(index): "#000000" for index in range(65)}),
        *(("region_opacity", value) for value in (-0.1, 1.1, "nan", "x", [1])),
        *(("stroke_width", value) for value in (-1, 101, "inf", "nan", {})),
        *(("regions", value) for value in ("x" * 65, [7], {"nose": 1}, ["nose"] * 65)),
        *((name, "maybe") for name in ("show_labels", "show_landmarks", "embed_image", "face", "frame", "include")),
    ],
)
def test_invalid_input_is_refused(name: str, value: object) -> None:
    detail = refusal(**{name: value})
    assert detail.startswith(f"{name}: ")
    assert len(detail) < 400


@given(st.dictionaries(st.sampled_from([*PIPELINE.parameters.model_fields]), JSON_VALUES, max_size=2))
def test_any_json_is_accepted_or_refused_with_a_problem(fields: dict[str, object]) -> None:
    assert code_of(PIPELINE, fields) in {None, "invalid_parameters"}
