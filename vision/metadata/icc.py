"""ICC colour profiles (ICC.1:2022, section 7.2)."""

HEADER_BYTES = 128
MOST_BYTES = 4_000_000
"""More than any profile has; a JPEG holds no more than 16 million."""
COLOR_SPACE, SIGNATURE = slice(16, 20), slice(36, 40)


def describes_rgb(profile: bytes) -> bool:
    """Whether a profile is whole, no larger than any is, and of RGB: that of CMYK or grey would not fit the pixels."""
    if not HEADER_BYTES <= len(profile) <= MOST_BYTES or profile[SIGNATURE] != b"acsp":
        return False
    return int.from_bytes(profile[:4], "big") == len(profile) and profile[COLOR_SPACE] == b"RGB "
