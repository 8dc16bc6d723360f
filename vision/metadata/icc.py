"""ICC colour profiles (ICC.1:2022, section 7.2)."""

HEADER_BYTES = 128
COLOR_SPACE, SIGNATURE = slice(16, 20), slice(36, 40)


def describes_rgb(profile: bytes) -> bool:
    """Whether a profile is whole and describes RGB: one of CMYK or grey would not fit decoded pixels."""
    if len(profile) < HEADER_BYTES or profile[SIGNATURE] != b"acsp":
        return False
    return int.from_bytes(profile[:4], "big") == len(profile) and profile[COLOR_SPACE] == b"RGB "
