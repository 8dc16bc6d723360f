from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import FetchError
from exporters.recipe import centre_square, letterbox, sample_batch


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 64))
def test_letterbox_holds_the_whole_image_centred_on_black(height: int, width: int, side: int) -> None:
    boxed = letterbox(np.full((height, width, 3), 200, np.uint8), side)
    assert boxed.shape == (side, side, 3)
    assert set(np.unique(boxed)) <= {0, 200}
    rows, columns = boxed.any(axis=(1, 2)).nonzero()[0], boxed.any(axis=(0, 2)).nonzero()[0]
    assert max(len(rows), len(columns)) == side
    assert abs(rows[0] - (side - 1 - rows[-1])) <= 1
    assert abs(columns[0] - (side - 1 - columns[-1])) <= 1


def test_centre_square_leaves_the_edges_out() -> None:
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 255
    assert centre_square(image, 16).min() == 255


def test_a_file_that_is_not_a_photo_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"nothing")
    with pytest.raises(FetchError, match=r"broken\.png cannot be read"):
        sample_batch([path], (8, 8), [letterbox])
