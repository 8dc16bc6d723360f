import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.errors import ParityError
from exporters.parity import Difference, OutputParity, _difference, require
from exporters.recipe import BAR


def output(
    largest: float, mean: float = 0.0, spread: float = 0.0, spread_mean: float = 0.0, batch: float = 0.0
) -> OutputParity:
    return OutputParity(
        name="mask",
        raw=Difference(largest=largest, mean=mean),
        checkpoint=Difference(largest=largest, mean=mean),
        spread=Difference(largest=spread, mean=spread_mean),
        batch=Difference(largest=batch, mean=batch),
        bar=BAR,
        magnitude=1.0,
    )


@pytest.mark.parametrize(
    ("parity", "verdict"),
    [
        (output(BAR), "within bar"),
        (output(2 * BAR), "failed"),
        (output(2 * BAR, spread=BAR), "within spread"),
        (output(1.0, mean=2 * BAR, spread=1.0), "failed"),
        (output(1.0, mean=2 * BAR, spread=1.0, spread_mean=BAR), "within spread"),
        (output(0.0, batch=2 * BAR), "failed"),
        (output(math.inf, spread=1.0), "failed"),
    ],
)
def test_verdict(parity: OutputParity, verdict: str) -> None:
    assert parity.verdict == verdict


def test_a_failed_output_is_named_with_its_differences() -> None:
    with pytest.raises(ParityError, match=r"model differs .* mask \(largest 5\.0e-01"):
        require([output(0.5)], "model")


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20))
def test_the_difference_to_itself_is_zero_and_to_nan_infinite(values: list[float]) -> None:
    array = np.array([values], np.float32)
    assert _difference(array, array) == Difference(largest=0.0, mean=0.0)
    assert _difference(array, np.full_like(array, np.nan)).largest == math.inf
