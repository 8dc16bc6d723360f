"""The plate model against its file for inputs of many sizes; the parity report has but one."""

from functools import cache

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.catalogue import DEFAULT_PATHS
from exporters.detectors.clpr_plates import PIXELS, decode_plates
from exporters.recipe import run_network, run_onnx
from exporters.recipes import RECIPES

(RECIPE,) = (recipe for recipe in RECIPES if recipe.name == "clpr_plates")
FILE = DEFAULT_PATHS.files / RECIPE.checkpoints[0]


@cache
def model() -> bytes:
    return RECIPE.build([FILE], {}).SerializeToString()


@pytest.mark.skipif(not FILE.is_file(), reason="the checkpoint is not fetched")
@settings(max_examples=8, deadline=None)
@given(count=st.integers(1, 3), height=st.integers(1, 6), width=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_any_batch_of_any_size_has_the_rows_of_the_file(count: int, height: int, width: int, seed: int) -> None:
    shape = (count, height * 32, width * 32, 3)
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    found = run_onnx(model(), images)["detections"]
    assert found.shape == (count, min(42 * height * width, 300), 14)
    outputs, _ = run_network(FILE.read_bytes(), PIXELS.apply(images))
    for place, one in enumerate(found):
        raw = (outputs[name][place] for name in ("loc", "conf", "landms"))
        expected = decode_plates((width * 32, height * 32), *raw)
        np.testing.assert_allclose(one[:, 4], expected[:, 4], atol=1e-5)
        np.testing.assert_allclose(one[0], expected[0], rtol=1e-3, atol=1e-2)


@pytest.mark.skipif(not FILE.is_file(), reason="the checkpoint is not fetched")
def test_the_corners_of_a_plate_go_clockwise_from_its_top_left() -> None:
    photo = np.full((256, 320, 3), 60, np.uint8)
    cv2.rectangle(photo, (80, 100), (240, 150), (20, 60, 170), -1)
    cv2.rectangle(photo, (83, 103), (237, 147), (250, 250, 250), 2)
    cv2.putText(photo, "AB12345", (92, 137), cv2.FONT_HERSHEY_SIMPLEX, 1.1, (250, 250, 250), 3, cv2.LINE_AA)
    best = run_onnx(model(), photo[np.newaxis])["detections"][0, 0]
    assert best[4] > 0.5
    np.testing.assert_allclose(best[:4], (80, 100, 240, 150), atol=16)
    np.testing.assert_allclose(best[6:], (80, 100, 240, 100, 240, 150, 80, 150), atol=16)
