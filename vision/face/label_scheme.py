"""What the numbers of a face's label map stand for."""

from collections.abc import Collection
from dataclasses import dataclass

BACKGROUND, SKIN, HAIR = 0, 1, "hair"


@dataclass(frozen=True, slots=True)
class LabelScheme:
    """Names by label, and the labels of the face: skin and what lies on it."""

    names: tuple[str, ...]
    face: frozenset[int]

    def name(self, label: int) -> str:
        """The label's name; `label_{n}` where the scheme has none."""
        return self.names[label] if label < len(self.names) else f"label_{label}"

    def below_hair(self, labels: Collection[int]) -> frozenset[int]:
        """Give what a ray from the brows to the hairline may cross: the face; all but hair where only that shows."""
        hair = {label for label in labels if self.name(label) == HAIR}
        return self.face if SKIN in labels or not hair else frozenset(range(256)) - hair


CONTOURS = LabelScheme(
    (
        "background", "skin", "left_eyebrow", "right_eyebrow", "left_eye", "right_eye", "nose", "upper_lip",
        "inner_mouth", "lower_lip", "hair",
    ),
    frozenset(range(1, 10)),
)  # fmt: skip
"""The eleven labels of the contour services, left and right as the viewer sees them."""

CELEBAMASK_HQ = LabelScheme(
    (
        "background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_glasses", "l_ear", "r_ear", "earring", "nose",
        "mouth", "u_lip", "l_lip", "neck", "necklace", "cloth", "hair", "hat",
    ),
    frozenset({1, 2, 3, 4, 5, 6, 10, 11, 12, 13}),
)  # fmt: skip
"""The 19 labels of CelebAMask-HQ, named as that data set names them."""

UNKNOWN = LabelScheme(("background",), frozenset())


def scheme_of(labels: Collection[int]) -> LabelScheme:
    """Guess the scheme by the highest label: up to 10, up to 18, or none that is known."""
    highest = max(labels, default=0)
    return next((scheme for scheme in (CONTOURS, CELEBAMASK_HQ) if highest < len(scheme.names)), UNKNOWN)
