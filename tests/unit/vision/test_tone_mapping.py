import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vision.tone_mapping import Primaries, Transfer, cube, tone_mapped

SIGNALS = st.lists(st.floats(0, 1), min_size=2, max_size=20, unique=True).map(sorted)


def toned(
    colour: tuple[float, float, float], transfer: Transfer, primaries: Primaries = Primaries.BT2020
) -> np.ndarray:
    return tone_mapped(np.array([colour]), transfer, primaries)[0] * 255


def test_a_colour_below_the_reference_white_looks_as_it_did_before_it_became_hlg() -> None:
    assert toned((0.5307, 0.2258, 0.1882), Transfer.HLG) == pytest.approx((196, 46.5, 54), abs=1)


def test_pq_of_a_page_of_100_nits_of_203_is_half_the_light() -> None:
    assert toned((0.50808, 0.50808, 0.50808), Transfer.PQ) == pytest.approx((185.5,) * 3, abs=1)


@pytest.mark.parametrize(("transfer", "white"), [(Transfer.HLG, 0.75), (Transfer.PQ, 0.58069)])
def test_the_reference_white_is_light_and_leaves_room_above(transfer: Transfer, white: float) -> None:
    assert toned((white,) * 3, transfer) == pytest.approx((231,) * 3, abs=1)
    assert toned((1, 1, 1), transfer).min() > 250


@pytest.mark.parametrize("transfer", Transfer)
@given(signals=SIGNALS)
def test_brighter_pixels_stay_brighter_and_grey_stays_grey(transfer: Transfer, signals: list[float]) -> None:
    shown = tone_mapped(np.repeat(np.array(signals)[:, None], 3, axis=1), transfer, Primaries.BT2020)
    assert np.all(np.diff(shown, axis=0) >= -1e-9)
    assert np.ptp(shown, axis=1).max() < 1e-3
    assert shown.min() >= 0
    assert shown.max() <= 1


def test_wider_primaries_become_stronger_colours_in_bt709() -> None:
    colour = (0.5, 0.3, 0.3)
    chroma = [np.ptp(toned(colour, Transfer.HLG, one)) for one in (Primaries.BT709, Primaries.P3, Primaries.BT2020)]
    assert chroma == sorted(chroma)


def test_a_table_lists_colours_with_the_red_running_fastest() -> None:
    head, *rows = cube(3, Transfer.PQ, Primaries.BT2020).split("\n")
    assert head == "LUT_3D_SIZE 3"
    listed = [tuple(map(float, row.split())) for row in rows if row]
    assert len(listed) == 27
    expected = tone_mapped(np.array([[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]), Transfer.PQ, Primaries.BT2020)
    assert np.allclose([listed[1], listed[3], listed[9]], expected, atol=1e-6)
