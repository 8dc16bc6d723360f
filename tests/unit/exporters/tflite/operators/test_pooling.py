import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import ActivationFunctionType as Activation
from ai_edge_litert.schema_py_generated import Padding

from exporters.errors import TranslationError
from tests.unit.exporters.sketch import LargestDifference, Sketch

_CLOSE = 1e-5


@pytest.mark.parametrize("padding", [Padding.SAME, Padding.VALID])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 2), (3, 1)])
def test_max_pool_equals_litert(largest_difference: LargestDifference, padding: int, window: int, stride: int) -> None:
    model = Sketch(1, 9, 8, 3)
    settings = {
        "title": "Pool2DOptions",
        "padding": padding,
        "strideH": stride,
        "strideW": stride,
        "filterHeight": window,
        "filterWidth": window,
        "fusedActivationFunction": Activation.NONE,
    }
    assert largest_difference(model, model.op("MAX_POOL_2D", 0, **settings)) < _CLOSE


@pytest.mark.parametrize(("align", "half"), [(0, 1), (1, 0), (0, 0)])
@pytest.mark.parametrize("size", [(10, 8), (15, 8), (5, 16)])
def test_resize_bilinear_equals_litert(
    largest_difference: LargestDifference, align: int, half: int, size: tuple[int, int]
) -> None:
    model = Sketch(1, 5, 4, 3)
    sides = model.constant(np.array(size, np.int32))
    settings = {"title": "ResizeBilinearOptions", "alignCorners": bool(align), "halfPixelCenters": bool(half)}
    assert largest_difference(model, model.op("RESIZE_BILINEAR", 0, sides, **settings)) < _CLOSE


def test_resize_by_a_fraction_is_refused(largest_difference: LargestDifference) -> None:
    model = Sketch(1, 5, 4, 3)
    sides = model.constant(np.array([7, 6], np.int32))
    settings = {"title": "ResizeBilinearOptions", "alignCorners": False, "halfPixelCenters": True}
    with pytest.raises(TranslationError, match="RESIZE_BILINEAR 5×4 to 7×6"):
        largest_difference(model, model.op("RESIZE_BILINEAR", 0, sides, **settings))
