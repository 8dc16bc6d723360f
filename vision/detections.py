"""Objects found in a photo."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float32


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What one model found: `boxes` N×4 in source pixels, `scores` N in 0…1, `labels` N names; best score first.

    `corners` N×4×2 in source pixels, clockwise from the object's own top left, where the model gives them; they may lie
    outside the photo.
    """

    boxes: Float32
    scores: Float32
    labels: tuple[str, ...]
    model: str
    corners: Float32 | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, chosen: NDArray[np.bool_]) -> "Detections":
        """Those that `chosen`, N booleans, names."""
        labels = tuple(label for label, kept in zip(self.labels, chosen, strict=True) if kept)
        corners = None if self.corners is None else self.corners[chosen]
        return Detections(self.boxes[chosen], self.scores[chosen], labels, self.model, corners)
