"""Objects found in a photo."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vision.arrays import Float32
from vision.nms import class_wise_nms, covered_shares

HALF = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What one model found: `boxes` N×4 in source pixels, `scores` N in 0…1, `labels` N names.

    `corners` N×4×2 in source pixels, clockwise from the object's own top left, where the model gives them; they may lie
    outside the photo. `cut`, N booleans, are boxes that end where the model could not see on.
    """

    boxes: Float32
    scores: Float32
    labels: tuple[str, ...]
    model: str
    cut: NDArray[np.bool_]
    corners: Float32 | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def joined(cls, parts: Sequence["Detections"]) -> "Detections":
        """Those of all parts, one part at least, all of one model."""
        corners = [part.corners for part in parts if part.corners is not None]
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.scores for part in parts]),
            tuple(label for part in parts for label in part.labels),
            parts[0].model,
            np.concatenate([part.cut for part in parts]),
            np.concatenate(corners) if len(corners) == len(parts) else None,
        )

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> "Detections":
        """Those that `chosen` names, N booleans or indices in any order."""
        labels = tuple(self.labels[index] for index in np.arange(len(self))[chosen])
        corners = None if self.corners is None else self.corners[chosen]
        return replace(
            self, boxes=self.boxes[chosen], scores=self.scores[chosen], labels=labels, cut=self.cut[chosen],
            corners=corners,
        )  # fmt: skip

    def distinct(self, iou: float) -> "Detections":
        """Each object once, best first: of boxes of a class that overlap by more than `iou` the best.

        A box that was cut off gives way to any whole one of its class that covers half of it.
        """
        order = {label: index for index, label in enumerate(dict.fromkeys(self.labels))}
        classes = np.array([order[label] for label in self.labels], dtype=np.int64)
        whole = np.flatnonzero(~self.cut)
        whole = whole[class_wise_nms(self.boxes[whole], self.scores[whole], classes[whole], iou)]
        cut = np.flatnonzero(self.cut)
        same = classes[cut, np.newaxis] == classes[whole]
        hidden = ((covered_shares(self.boxes[cut], self.boxes[whole]) > HALF) & same).any(axis=1)
        cut = cut[~hidden]
        cut = cut[class_wise_nms(self.boxes[cut], self.scores[cut], classes[cut], iou)]
        kept = np.concatenate((whole, cut))
        return self.select(kept[np.argsort(-self.scores[kept], kind="stable")])
