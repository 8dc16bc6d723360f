"""Memory that goes back to the system."""

import ctypes

_M_MMAP_THRESHOLD = -3
"""From glibc's malloc.h."""
_LARGE = 1024 * 1024


def return_large_blocks() -> None:
    """Let every block of a megabyte or more go back to the system as soon as it is free; without glibc do nothing.

    glibc raises this bound by itself, up to 32 MB, with every such block that is freed: each thread that parsed a large
    body would then keep as much memory for good.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
