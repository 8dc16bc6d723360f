"""Names of facial regions that may become label values."""

KNOWN = frozenset(
    """
    forehead nose left_under_eye right_under_eye mouth left_eye right_eye left_eyebrow right_eyebrow upper_lip lower_lip
    face_oval left_cheek right_cheek skin inner_mouth hair l_brow r_brow l_eye r_eye eye_glasses l_ear r_ear earring
    u_lip l_lip neck necklace cloth hat
    """.split()  # noqa: SIM905 a list of quoted names is five times as long
)
OTHER = "other"
"""What callers made up: every label value is a series for good."""


def region_type(name: str) -> str:
    """The name itself where it is one of the service's own."""
    return name if name in KNOWN else OTHER
