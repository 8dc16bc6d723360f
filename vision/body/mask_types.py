"""The seven body masks, the labels that each consists of, and the rules in which they differ."""

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum


class Atr(IntEnum):
    """The 18 labels of the ATR data set, and the neck."""

    BACKGROUND = 0
    HAT = 1
    HAIR = 2
    SUNGLASSES = 3
    UPPER_CLOTHES = 4
    SKIRT = 5
    PANTS = 6
    DRESS = 7
    BELT = 8
    LEFT_SHOE = 9
    RIGHT_SHOE = 10
    FACE = 11
    LEFT_LEG = 12
    RIGHT_LEG = 13
    LEFT_ARM = 14
    RIGHT_ARM = 15
    BAG = 16
    SCARF = 17
    NECK = 18


class MaskType(StrEnum):
    """What a mask covers, by the garment that will replace it."""

    UPPER_BODY = "upper_body"
    UPPER_BODY_TSHIRTS = "upper_body_tshirts"
    UPPER_BODY_COAT = "upper_body_coat"
    LOWER_BODY = "lower_body"
    ETHNIC_COMBINED = "ethnic_combined"
    BAGGY_LOWER = "baggy_lower"
    DRESS = "dress"

    def __str__(self) -> str:
        return self.value


class BodyPart(Enum):
    """A part of the body with rules of its own."""

    UPPER = "upper"
    LOWER = "lower"
    DRESS = "dress"


@dataclass(frozen=True, slots=True)
class PartRule:
    """How one part enters a mask: the side of its dilation kernel in pixels, and whether shoes are masked too."""

    part: BodyPart
    radius: int
    shoes: bool = False


_MALE = {
    MaskType.UPPER_BODY: (PartRule(BodyPart.UPPER, 2),),
    MaskType.UPPER_BODY_TSHIRTS: (PartRule(BodyPart.UPPER, 2), PartRule(BodyPart.LOWER, 2)),
    MaskType.UPPER_BODY_COAT: (PartRule(BodyPart.UPPER, 2), PartRule(BodyPart.LOWER, 2)),
    MaskType.LOWER_BODY: (PartRule(BodyPart.LOWER, 2),),
    MaskType.ETHNIC_COMBINED: (PartRule(BodyPart.UPPER, 1), PartRule(BodyPart.LOWER, 10, shoes=True)),
    MaskType.BAGGY_LOWER: (PartRule(BodyPart.LOWER, 7, shoes=True),),
    MaskType.DRESS: (PartRule(BodyPart.DRESS, 2),),
}
_FEMALE = _MALE | {
    MaskType.UPPER_BODY: (PartRule(BodyPart.UPPER, 3), PartRule(BodyPart.LOWER, 2)),
    MaskType.UPPER_BODY_TSHIRTS: (PartRule(BodyPart.UPPER, 3), PartRule(BodyPart.LOWER, 2)),
    MaskType.UPPER_BODY_COAT: (PartRule(BodyPart.UPPER, 3), PartRule(BodyPart.LOWER, 2)),
    MaskType.ETHNIC_COMBINED: (PartRule(BodyPart.UPPER, 5), PartRule(BodyPart.LOWER, 13, shoes=True)),
}

_UPPER_LABELS = frozenset({Atr.UPPER_CLOTHES, Atr.DRESS})
_LOWER_LABELS = frozenset({Atr.SKIRT, Atr.PANTS, Atr.DRESS})
_SHOES = frozenset({Atr.LEFT_SHOE, Atr.RIGHT_SHOE})

PLAIN_LABELS = {
    MaskType.UPPER_BODY: _UPPER_LABELS,
    MaskType.UPPER_BODY_TSHIRTS: _UPPER_LABELS,
    MaskType.UPPER_BODY_COAT: _UPPER_LABELS,
    MaskType.LOWER_BODY: _LOWER_LABELS,
    MaskType.ETHNIC_COMBINED: _UPPER_LABELS | _LOWER_LABELS,
    MaskType.BAGGY_LOWER: _LOWER_LABELS | _SHOES,
    MaskType.DRESS: _UPPER_LABELS | _LOWER_LABELS,
}
"""Labels of a plain mask. The plain service had only an upper ({4, 7}) and a lower ({5, 6, 7}) mask. The other types
use the nearest of these: the three upper ones alike, both parts for the long garments, shoes for baggy trousers."""


def part_rules(mask_type: MaskType, gender: str) -> tuple[PartRule, ...]:
    """List the parts of a mask. `M` and `MALE`, in any case, have the male radii, every other word the female."""
    table = _MALE if gender.upper() in {"M", "MALE"} else _FEMALE
    return table[mask_type]
