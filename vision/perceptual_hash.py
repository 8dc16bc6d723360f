"""A hash that looks at a photo: alike photos differ in few bits."""

import cv2
import numpy as np

from vision.arrays import RGB

SIDE = 32
"""Pixels of the reduced photo a side."""
FREQUENCIES = 8
"""Lowest frequencies kept along each axis; their signs about the median are the 64 bits."""


def perceptual_hash(pixels: RGB) -> int:
    """Hash H×W×3 to 64 bits, the zero frequency first and highest: pHash by DCT.

    Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010, section 3.2.1; here
    the photo is reduced by area instead of blurred, and the 8×8 lowest frequencies are taken with the zero one.
    """
    small = cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float64)
    low = cv2.dct(grey)[:FREQUENCIES, :FREQUENCIES].ravel()
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def differing_bits(first: int, second: int) -> int:
    """Count the bits in which two hashes differ: 0 to 64."""
    return (first ^ second).bit_count()
