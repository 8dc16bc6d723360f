"""How models with maps are compared with what they were made of: on three photos, in units of the maps' own spread."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from exporters.networks.known import Network
from exporters.recipe import Outputs, Recipe, View, letterbox
from exporters.usage import Values

LABELS = "labels"


@dataclass(frozen=True, eq=False)
class MapsRecipe(Recipe):
    """A recipe of a network with labels and logits, or with heatmaps and fields."""

    network: Network

    @property
    @override
    def views(self) -> Mapping[str, View]:
        """One: these networks are large."""
        return {"letterbox": letterbox}

    @override
    def aligned(self, outputs: Outputs, reference: Outputs) -> Outputs:
        """Labels become the share of pixels that differ from the reference's, one number for each image."""
        if LABELS not in outputs:
            return outputs
        other = outputs[LABELS] != reference[LABELS]
        return {**outputs, LABELS: other.reshape(len(other), -1).mean(axis=1).astype(np.float32)}

    @override
    def as_used(self, name: str, values: NDArray[np.float32], reference: Outputs, side: int) -> Values:
        """Maps in units of the standard deviation of the reference's."""
        if name == LABELS:
            return values
        deviation = float(reference[name].std(dtype=np.float64))
        return values / np.float32(deviation or 1.0)
