"""Checkpoints with random weights, as the public ones are laid out."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

SHARED = Path(__file__).resolve().parents[5] / "shared" / "reference"
MANIFESTS = SHARED / "manifests"
needs_manifests = pytest.mark.skipif(not MANIFESTS.is_dir(), reason=f"{MANIFESTS} is not here")


def manifest(network: str) -> list[tuple[str, list[int], str]]:
    """Key, shape and element type of each tensor of a public checkpoint, in its order."""
    return [
        (key, shape, dtype) for key, shape, dtype in json.loads((MANIFESTS / f"manifest_{network}.json").read_text())
    ]


def weights(network: str, seed: int = 0) -> "OrderedDict[str, NDArray[np.generic]]":
    """Convolutions that keep the magnitude; norms with some negative weights, and means and variances of their own."""
    rng = np.random.default_rng(seed)
    drawn = OrderedDict()
    for key, shape, dtype in manifest(network):
        drawn[key] = _values(rng, key, shape).astype(dtype)
    return drawn


def _values(rng: np.random.Generator, key: str, shape: list[int]) -> NDArray[np.floating]:
    if key.endswith("num_batches_tracked"):
        return np.full(shape, 80_000.0)
    if key.endswith("running_var"):
        return rng.uniform(0.6, 1.4, shape)
    if key.endswith("running_mean"):
        return rng.normal(0, 0.1, shape)
    if key.endswith("bias"):
        return rng.normal(0, 0.1, shape)
    if len(shape) == 1:
        return rng.uniform(0.4, 1.2, shape) * rng.choice([1, 1, 1, 1, -1], shape) * (0.3 if "bn3" in key else 1)
    return rng.standard_normal(shape, np.float32) * (2 / np.prod(shape[1:])) ** 0.5
