"""Rows of detectors side by side: two runtimes may order nearly equal scores differently."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from exporters.detectors.rows import COLUMNS, OUTPUT
from exporters.recipe import Outputs

COMPARED = 20
"""The best rows of an image; those far down are noise that no threshold lets pass."""

SURE = 0.5

Rows = NDArray[np.float32]


def aligned_rows(outputs: Outputs, reference: Outputs) -> Outputs:
    """For each of the best rows of the reference, the nearest row: `boxes` N·20×4 and `scores` N·20.

    And `corners` N·20×8 where rows have them.
    """
    pairs = zip(outputs[OUTPUT], reference[OUTPUT], strict=True)
    nearest = np.concatenate([nearest_rows(found, expected[:COMPARED]) for found, expected in pairs])
    corners = {"corners": nearest[:, COLUMNS:]} if nearest.shape[1] > COLUMNS else {}
    return {"boxes": nearest[:, :4], "scores": nearest[:, 4], **corners}


def sure_rows(outputs: Outputs, reference: Outputs) -> Outputs:
    """The same for all rows of the reference that score SURE or more: `boxes` M×4 and `scores` M."""
    pairs = zip(outputs[OUTPUT], reference[OUTPUT], strict=True)
    nearest = np.concatenate([nearest_rows(found, expected[expected[:, 4] >= SURE]) for found, expected in pairs])
    return {"boxes": nearest[:, :4], "scores": nearest[:, 4]}


def nearest_rows(found: Rows, expected: Rows) -> Rows:
    """For each expected row, the found row of the same class whose box is nearest; infinitely far where none is."""
    gaps = np.abs(found[np.newaxis, :, :4] - expected[:, np.newaxis, :4]).max(axis=2)
    gaps = gaps + np.abs(found[np.newaxis, :, 4] - expected[:, np.newaxis, 4])
    gaps[found[np.newaxis, :, 5] != expected[:, np.newaxis, 5]] = np.inf
    places = gaps.argmin(axis=1)
    rows: Rows = found[places]
    rows[np.isinf(gaps[np.arange(len(expected)), places])] = np.inf
    return rows


def stacked_rows(rows: Sequence[Rows]) -> Outputs:
    """Rows of each image as an output."""
    return {OUTPUT: np.stack(rows)}
