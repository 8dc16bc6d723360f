"""The units in which the pipelines use what models answer. Only there a difference has a meaning."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32] | NDArray[np.float64]


def as_used(name: str, values: NDArray[np.float32], side: int) -> Values:
    """The output `name` of a model whose input is `side` pixels wide. Unknown names pass unchanged."""
    return _USES.get(name, _unchanged)(values, side)


def _unchanged(values: NDArray[np.float32], _: int) -> Values:
    return values


def _share_of_side(values: NDArray[np.float32], side: int) -> Values:
    return values / np.float32(side)


def _probability(values: NDArray[np.float32], _: int) -> Values:
    """In float64, so that the comparison adds no rounding of its own. tanh cannot overflow."""
    probabilities: NDArray[np.float64] = 0.5 * (1 + np.tanh(values.astype(np.float64) / 2))
    return probabilities


_USES: Mapping[str, Callable[[NDArray[np.float32], int], Values]] = MappingProxyType(
    {
        "boxes": _share_of_side,
        "corners": _share_of_side,
        "landmarks": _share_of_side,
        "scores": _probability,
        "mask": _probability,
        "heatmap": _probability,
    }
)
