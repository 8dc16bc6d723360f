import json

import numpy as np
import pytest

from tests.unit.vision.face.drawing import label_map
from vision.encoding import encode_png
from vision.face.options import FaceError
from vision.face.segmentation import parse_segmentation


def test_a_png_is_a_label_map() -> None:
    np.testing.assert_array_equal(parse_segmentation(encode_png(label_map())), label_map())


@pytest.mark.parametrize("text", ['{"chin": [1, 2, 3]}', "{'chin': [1, 2, 3]}", ' {"chin": [1, 2, 3]}\n'])
def test_a_mapping_keeps_names_and_order(text: str) -> None:
    assert parse_segmentation(text.encode()) == {"chin": (1, 2, 3)}


@pytest.mark.parametrize("data", [b"", b" \n", b"null", b"{}"])
def test_nothing_is_no_segmentation(data: bytes) -> None:
    assert parse_segmentation(data) is None


REFUSED = [
    {"chin": [1, 2]},
    {"chin": "1, 2, 3"},
    {"chin": [1, 2, -1]},
    {"chin": [1, 2, 478]},
    {"chin": [1, 2, 10**4000]},
    {"chin": [1, 2, 3.5]},
    {"chin": [1, 2, True]},
    {"chin": [1] * 513},
    {"": [1, 2, 3]},
    {"a\0b": [1, 2, 3]},
    {"\ud800": [1, 2, 3]},
    {"\uffff": [1, 2, 3]},
    {"a" * 65: [1, 2, 3]},
    {str(index): [1, 2, 3] for index in range(65)},
    {str(index): [1] * 512 for index in range(9)},
]


@pytest.mark.parametrize("regions", REFUSED)
def test_invalid_input_is_refused(regions: dict[str, object]) -> None:
    with pytest.raises(FaceError) as refused:
        parse_segmentation(json.dumps(regions).encode())
    assert refused.value.code == "regions_invalid"
    assert len(refused.value.detail) < 300


@pytest.mark.parametrize("data", [b"{", b'{"a": [1, 2, 3', b"{1: [1, 2, 3]}", b'{"\xff": 1}', b'{"a":' * 100_000])
def test_a_mapping_that_is_no_json(data: bytes) -> None:
    with pytest.raises(FaceError) as refused:
        parse_segmentation(data)
    assert refused.value.code == "regions_invalid"
