"""Convert colours of films with a high dynamic range (HLG, PQ) to BT.709, so that every screen shows them alike."""

from enum import Enum

import numpy as np

from vision.arrays import Float64

REFERENCE_NITS = 203.0
"""White of a page or of paper, after ITU-R BT.2408: 75 % of the HLG signal, 58 % of that of PQ."""
PEAK_NITS = 1000.0
_KNEE = 0.6
"""Light below this share of the reference white keeps its value. Light above it, up to the peak, shares the rest."""
_PEAK = PEAK_NITS / REFERENCE_NITS
_SRGB_LINEAR = 0.0031308
"""Light below which sRGB is a straight line (IEC 61966-2-1)."""
_HLG_SQUARE = 0.5
"""Signal below which HLG is a square."""


class Transfer(Enum):
    """How a signal codes light."""

    HLG = "hlg"
    PQ = "pq"


class Primaries(Enum):
    """The colours of red, green and blue: x and y of each after ITU-T H.273; the white is D65."""

    BT709 = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
    BT2020 = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
    P3 = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))


_WHITE = (0.3127, 0.3290)


def tone_mapped(signal: Float64, transfer: Transfer, primaries: Primaries) -> Float64:
    """The sRGB signal, N×3 from 0 to 1, that looks like an HDR signal of the same shape.

    Hues stay: the largest of the three values sets the knee, which scales all three. Colours outside BT.709 are
    clipped.
    """
    linear = _light(np.clip(signal, 0, 1), transfer) @ _into_bt709(primaries).T
    largest = np.maximum(linear.max(axis=1, keepdims=True), 1e-6)
    shown = np.clip(linear * (_kneed(largest) / largest), 0, 1)
    signal_shown: Float64 = np.where(shown <= _SRGB_LINEAR, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
    return signal_shown


def cube(size: int, transfer: Transfer, primaries: Primaries) -> str:
    """The same as a table of `size`³ colours, red changing fastest, in the text format `.cube`."""
    steps = np.linspace(0, 1, size)
    blue, green, red = (axis.ravel() for axis in np.meshgrid(steps, steps, steps, indexing="ij"))
    rows = tone_mapped(np.stack([red, green, blue], axis=1), transfer, primaries)
    return "\n".join([f"LUT_3D_SIZE {size}", *("{:.6f} {:.6f} {:.6f}".format(*row) for row in rows.tolist()), ""])


def _light(signal: Float64, transfer: Transfer) -> Float64:
    """Light, where 1 is the reference white."""
    return _hlg_light(signal) / _hlg_light(np.array(0.75)) if transfer is Transfer.HLG else _pq_light(signal)


def _hlg_light(signal: Float64) -> Float64:
    """Light of the scene from 0 to 1: the inverse of the OETF in ITU-R BT.2100, table 5.

    A high-range screen would make this light steeper (the OOTF, for 1000 nits a power of 1.2 of its luminance). A
    BT.709 screen is dimmer, and for it BT.2390 wants a power near 1: it is left out.
    """
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(signal <= _HLG_SQUARE, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _pq_light(signal: Float64) -> Float64:
    """Light of the screen: the EOTF in ITU-R BT.2100, table 4."""
    m1, m2 = 2610 / 16384, 2523 / 32
    c1, c2, c3 = 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    nits = 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return np.asarray(np.minimum(nits, PEAK_NITS) / REFERENCE_NITS, dtype=np.float64)


def _kneed(light: Float64) -> Float64:
    """Reinhard's curve with a white point, only above the knee: smooth there, 1 at the peak."""
    above, most = (np.maximum(light, _KNEE) - _KNEE) / (1 - _KNEE), (_PEAK - _KNEE) / (1 - _KNEE)
    shared = (1 - _KNEE) * above * (1 + above / most**2) / (1 + above)
    return np.asarray(np.minimum(light, _KNEE) + shared, dtype=np.float64)


def _into_bt709(primaries: Primaries) -> Float64:
    """3×3: linear RGB of these primaries to that of BT.709."""
    return np.linalg.inv(_into_xyz(Primaries.BT709)) @ _into_xyz(primaries)


def _into_xyz(primaries: Primaries) -> Float64:
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries.value]).T
    x, y = _WHITE
    amounts = np.linalg.solve(columns, np.array([x / y, 1, (1 - x - y) / y]))
    return np.asarray(columns * amounts, dtype=np.float64)
