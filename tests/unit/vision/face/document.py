"""SVG documents read back."""

import re
from xml.etree import ElementTree as ET

import numpy as np

from vision.arrays import Float64

SUBPATH = re.compile(r"M([^c]*)c([^z]*)z")
NUMBER = re.compile(r"-?\d*\.?\d+")
SAMPLES = np.linspace(0, 1, 8, endpoint=False)[:, np.newaxis]


def read_document(text: str) -> ET.Element:
    """The root element. Raises ElementTree.ParseError where the text is not well-formed."""
    return ET.fromstring(text)  # noqa: S314 - the text is our own


def curves(data: str) -> list[Float64]:
    """The smooth rings N×2 of path data: each one absolute `M`, one relative `c` of many stretches, and `z`."""
    subpaths = SUBPATH.findall(data)
    assert "".join(f"M{start}c{steps}z" for start, steps in subpaths) == data
    return [_ring(_numbers(start), _numbers(steps).reshape(-1, 3, 2)) for start, steps in subpaths]


def _numbers(text: str) -> Float64:
    return np.array([float(number) for number in NUMBER.findall(text)])


def _ring(start: Float64, stretches: Float64) -> Float64:
    """All points of a stretch count from where it begins."""
    begins = start + np.vstack((np.zeros((1, 2)), np.cumsum(stretches[:-1, 2], axis=0)))
    first, second, end = (stretches[:, np.newaxis, index] for index in range(3))
    rest = 1 - SAMPLES
    curve = 3 * rest**2 * SAMPLES * first + 3 * rest * SAMPLES**2 * second + SAMPLES**3 * end
    ring: Float64 = (begins[:, np.newaxis] + curve).reshape(-1, 2)
    return ring
