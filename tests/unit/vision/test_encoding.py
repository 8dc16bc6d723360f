import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from vision.encoding import encode_jpeg, encode_png


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_pillow_reads_back_the_same_pixels(image: NDArray[np.uint8]) -> None:
    opened = Image.open(io.BytesIO(encode_png(image)))
    assert opened.mode == "L"
    np.testing.assert_array_equal(np.asarray(opened), image)


def test_a_view_of_a_larger_array_is_encoded_as_it_looks() -> None:
    image = np.arange(200, dtype=np.uint8).reshape(10, 20)[::2, ::-3]
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(image)))), image)


def test_color_order_is_kept() -> None:
    pixels = np.full((16, 16, 3), (250, 100, 10), dtype=np.uint8)
    np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(encode_jpeg(pixels)))), pixels, atol=3)
