import numpy as np
import pytest

from exporters.usage import as_used


@pytest.mark.parametrize(
    ("name", "value", "used"),
    [("boxes", 112, 0.5), ("landmarks", 224, 1), ("mask", 0, 0.5), ("scores", -1850, 0), ("presence", 0.3, 0.3)],
)
def test_units(name: str, value: float, used: float) -> None:
    assert as_used(name, np.array([value], np.float32), 224) == pytest.approx(used)
