"""Colours of regions."""

from collections.abc import Mapping

SKIN, NOSE = "#B695C0", "#D4A574"
BROW, EYE, EYEWEAR, LIPS, INNER_MOUTH = "#7D5A4F", "#6FA3D8", "#4F6D8C", "#D97B8E", "#8C3A4A"
HAIR, EAR, NECK, CLOTH, JEWELLERY = "#8C7B6B", "#E0B7A0", "#C9A9C2", "#9DB5A0", "#E3C567"

COLORS: Mapping[str, str] = {
    "forehead": SKIN,
    "nose": NOSE,
    "left_under_eye": SKIN,
    "right_under_eye": SKIN,
    "mouth": SKIN,
    "left_eye": EYE,
    "right_eye": EYE,
    "left_eyebrow": BROW,
    "right_eyebrow": BROW,
    "upper_lip": LIPS,
    "lower_lip": LIPS,
    "face_oval": SKIN,
    "left_cheek": LIPS,
    "right_cheek": LIPS,
    "skin": SKIN,
    "inner_mouth": INNER_MOUTH,
    "hair": HAIR,
    "l_brow": BROW,
    "r_brow": BROW,
    "l_eye": EYE,
    "r_eye": EYE,
    "eye_glasses": EYEWEAR,
    "l_ear": EAR,
    "r_ear": EAR,
    "earring": JEWELLERY,
    "u_lip": LIPS,
    "l_lip": LIPS,
    "neck": NECK,
    "necklace": JEWELLERY,
    "cloth": CLOTH,
    "hat": CLOTH,
}
"""Colours of the known names; CelebAMask-HQ's `mouth`, the inside of one, shares that of the lower face."""

OTHERS = (SKIN, NOSE, EYE, LIPS, CLOTH, JEWELLERY, BROW, EYEWEAR)
"""Colours of other names, in turn by number."""


def color_of(number: int, name: str, colors: Mapping[str, str]) -> str:
    """Choose a region's colour: the caller's, else the name's, else one by its number."""
    return colors.get(name) or COLORS.get(name) or OTHERS[(number - 1) % len(OTHERS)]
