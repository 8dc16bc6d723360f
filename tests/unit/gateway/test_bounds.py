import json
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings

from gateway.errors import Problem
from gateway.intake.submissions import json_members, multipart_submission, start_check
from gateway.pipelines.registry import Pipeline, build_registry, parameters_json
from gateway.pipelines.validation import MAX_TEXT_BYTES, Bounds
from gateway.settings import Settings
from tests.json_values import JSON_VALUES

PIPELINES = tuple(build_registry(Settings()).values())
FIELDS = [(pipeline, name) for pipeline in PIPELINES for name in pipeline.parameters.model_fields]
SIZE = 3_000_000
TEXTS = ("[" + "[]," * (SIZE // 3) + "[]]", "0," * (SIZE // 2), "," * SIZE, "&a" * (SIZE // 2), "{" + '"":0,' * (SIZE // 5) + '"a":0}')  # fmt: skip  # noqa: E501
LISTS = ([[]] * (SIZE // 3), [{"a": 0}] * 100_000, [0] * SIZE, [""] * SIZE, {str(number): 0 for number in range(100_000)})  # fmt: skip  # noqa: E501
"""The smallest items, as JSON has them."""


def refusal(pipeline: Pipeline, fields: dict[str, object]) -> Problem:
    with pytest.raises(Problem) as caught:
        parameters_json(pipeline, fields)
    return caught.value


@pytest.mark.parametrize(("pipeline", "name"), FIELDS, ids=lambda value: getattr(value, "name", value))
def test_no_field_takes_megabytes_of_small_items(pipeline: Pipeline, name: str) -> None:
    for text in TEXTS:
        problem = refusal(pipeline, {name: text})
        assert (problem.code, name in problem.detail) == ("invalid_parameters", True)
        assert " characters; at most " in problem.detail
    for value in LISTS:
        problem = refusal(pipeline, {name: value})
        assert (problem.code, name in problem.detail) == ("invalid_parameters", True)
        assert " values; at most " in problem.detail


@settings(max_examples=50)
@given(JSON_VALUES)
def test_text_within_the_bounds_is_counted_as_written(value: object) -> None:
    texts, values = counted(value)
    Bounds(texts, values).check("name", value)
    for less in ((texts - 1, values), (texts, values - 1)):
        if min(less) >= 0:
            with pytest.raises(Problem, match="name: "):
                Bounds(*less).check("name", value)


def counted(value: object) -> tuple[int, int]:
    """Characters of all texts, and values in all containers."""
    if isinstance(value, str):
        return len(value), 0
    if not isinstance(value, list | dict):
        return 0, 0
    inside = [counted(one) for one in (*value, *(value.values() if isinstance(value, dict) else ()))]
    return sum(one[0] for one in inside), len(value) + sum(one[1] for one in inside)


@pytest.mark.parametrize(
    "fields",
    [
        {"keep": [["x"] * 4] * 60},
        {"keep": "a,b,c,d;" * 60},
        {"objects": [{"box": "x", "y": 1}] * 900},
        {"objects": json.dumps([[]] * 900)},
        {"hide": ["x" * 70] * 60},
        {"thresholds": {f"{number}": "x" for number in range(60)}},
        {f"unknown{number}": 1 for number in range(1000)},
    ],
)
def test_only_five_of_many_errors_are_listed(fields: dict[str, object]) -> None:
    (pipeline,) = (one for one in PIPELINES if one.name == "privacy_blur")
    detail = refusal(pipeline, fields).detail
    assert len(detail.split("; accepted: ")[0].split("; ")) <= 5
    assert len(detail) < 2000


@pytest.mark.parametrize("name", ["landmarks", "segmentation_map", "no_such_field", "gender"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("photo", [30, 2_000_000])
@pytest.mark.parametrize("text", [*TEXTS, "A" * SIZE, "\n" * (SIZE // 2)], ids=lambda text: text[:3])
def test_a_body_has_a_megabyte_beside_its_photo(name: str, first: bool, photo: int, text: str) -> None:  # noqa: FBT001
    body = form(name, text, photo, first=first)
    with pytest.raises(Problem) as caught:
        multipart_submission(body, "multipart/form-data; boundary=b")
    assert (caught.value.code, name in caught.value.detail) == ("field_too_large", True)
    members = [("image", "A" * photo), (name, text)]
    with pytest.raises(Problem) as caught:
        json_members(json.dumps(dict(members[::-1] if first else members)).encode())
    assert caught.value.code == "field_too_large"
    assert f"at most {MAX_TEXT_BYTES} are accepted" in caught.value.detail


def form(name: str, text: str, photo: int, *, first: bool) -> bytes:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % part
        for part in ((b"image", b"A" * photo), (name.encode(), text.encode()))
    ]
    return b"".join(parts[::-1] if first else parts) + b"--b--\r\n"


@pytest.mark.parametrize("value", ["[[],[],…]", "[0,0,…]", "objects"])
def test_a_large_body_of_small_values_names_its_field(value: str) -> None:
    item = {"[[],[],…]": b"[],", "[0,0,…]": b"0,", "objects": b'{"":0},'}[value]
    body = b'{"image": "AAAA", "keep": [' + item * (SIZE // len(item)) + b"0]}"
    with pytest.raises(Problem, match=r"field_too_large: keep: \d+ bytes"):
        json_members(body)


@pytest.mark.parametrize("size", [100, 400_000, 1_500_000, 5_000_000])
def test_a_label_map_of_half_a_megabyte_comes_beside_a_photo_of_any_size(size: int) -> None:
    members = {"image": {"base64": "A" * size}, "segmentation_map": "B" * 700_000, "gender": "m"}
    assert json_members(json.dumps(members).encode()) == members


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("size", [3_000_000, 12_000_000])
def test_the_quick_check_passes_a_body_that_is_mostly_photo(first: bool, size: int) -> None:  # noqa: FBT001
    kind, text = "multipart/form-data; boundary=b", "[" + "0," * 20_000 + "0]"
    start_check(kind)(form("landmarks", text, size, first=first)[: size // 2])
    members: list[tuple[str, object]] = [("image", {"base64": "A" * size}), ("landmarks", text), ("segmentation_map", "B" * 900_000)]  # fmt: skip  # noqa: E501
    body = json.dumps(dict(members[::-1] if first else members)).encode()
    for seen in (size // 4, size // 2, len(body)):
        start_check("application/json")(body[:seen])


@pytest.mark.parametrize("text", [*TEXTS, "A" * SIZE], ids=lambda text: text[:3])
def test_text_is_refused_after_a_look_at_two_megabytes(text: str) -> None:
    kind = "multipart/form-data; boundary=b"
    value = text if text[0] == "[" else json.dumps(text)
    for how, body in ((kind, form("keep", text, 9, first=True)), ("application/json", f'{{"keep": {value}'.encode())):
        with pytest.raises(Problem, match="field_too_large: keep: "):
            start_check(how)(body[:2_000_000])


@pytest.mark.parametrize("filling", [b" ", b"}", b'"a":1,', b'"image":1,', b'"a":"b", "c":[0,0], '])
def test_the_quick_check_is_fast_for_spaces_and_small_members(filling: bytes) -> None:
    body = b"{" + filling * (2 * SIZE // len(filling))
    start = time.process_time()
    with suppress(Problem):
        start_check("application/json")(body)
    with pytest.raises(Problem):
        json_members(body)
    assert time.process_time() - start < 1
