"""The colour spaces of photos: read from the file, written again as a minimal profile, or converted to sRGB.

Sources: ICC.1:2022 (profiles), ITU-T H.273 (code points of primaries and transfer), W3C PNG specification, third
edition, section 11.3.2 (chunks), ITU-R BT.2100 (PQ and HLG).
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageCms

from vision.arrays import RGB, Float64

MOST_BYTES = 4_000_000
"""Largest size of a profile. No real one is larger."""
HEADER_BYTES, MOST_TAGS = 128, 100
LEVELS = 256
STRIP_PIXELS = 1_000_000
"""Pixels converted at a time, so that Pillow's copies stay small compared to the photo."""

Points: TypeAlias = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""Chromaticities x, y of red, green, blue and white."""

D50 = np.array([0.9642, 1.0, 0.8249])
D65 = (0.3127, 0.329)
BT709: Points = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06), D65)
PRIMARIES: Mapping[int, Points] = {
    4: ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), (0.31, 0.316)),
    5: ((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), D65),
    6: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65),
    7: ((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65),
    9: ((0.708, 0.292), (0.17, 0.797), (0.131, 0.046), D65),
    11: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), (0.314, 0.351)),
    12: ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06), D65),
    22: ((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), D65),
}
"""By code point. All others are treated as BT.709's."""
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_TOE = 0.0031308
"""Linear light below which sRGB is linear."""
SRGB_GAMMA, SRGB_SLACK = 0.45455, 0.005
"""The gAMA that encoders write for sRGB pixels. It is only near their curve."""
WHITE_NITS, HLG_NITS, KNEE = 203.0, 1000.0, 0.75
"""BT.2408: diffuse white on the display that HLG is made for. Above KNEE, highlights are compressed below white."""
SAME_LEVELS, SAME_CURVE = 1.0, 0.003
"""Two colour spaces count as one where no pixel value and no light value differs by more."""


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """RGB: `matrix` 3×3 from linear red, green and blue to XYZ under D50, `curves` 3×256 from levels to linear."""

    matrix: Float64
    curves: Float64


def srgb_curve(level: Float64) -> Float64:
    """Linear light of sRGB's values 0 to 1 (IEC 61966-2-1)."""
    return np.where(level <= SRGB_TOE * 12.92, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)


@lru_cache(maxsize=8)
def profile_of_icc(profile: bytes) -> bytes:
    """A profile with nothing but colour tags that equals an RGB or grey one. Empty if that is sRGB or unreadable."""
    try:
        return _written(_space_of_icc(profile))
    except (struct.error, ValueError, LookupError):
        return b""


def profile_of_codes(primaries: int, transfer: int) -> bytes:
    """The profile for code points, as in HEIC, AVIF and PNG (cICP). Empty if they mean sRGB or are missing."""
    curve = _TRANSFERS.get(transfer, srgb_curve)(np.linspace(0, 1, LEVELS))
    return _written(Space(_to_xyz(PRIMARIES.get(primaries, BT709)), np.tile(curve, (3, 1))))


def profile_of_png(chunks: Mapping[bytes, bytes], icc: bytes) -> bytes:
    """The profile that a PNG's chunks describe: cICP before iCCP (`icc`), sRGB, and gAMA with cHRM. Empty for sRGB."""
    try:
        if b"cICP" in chunks:
            return profile_of_codes(chunks[b"cICP"][0], chunks[b"cICP"][1])
        if icc:
            return profile_of_icc(icc)
        return b"" if b"sRGB" in chunks else _profile_of_gamma(chunks)
    except (struct.error, ValueError, LookupError, ZeroDivisionError, np.linalg.LinAlgError):
        return b""


def icc_of_png(body: bytes) -> bytes:
    """The profile in an iCCP chunk; empty where it cannot be unpacked."""
    try:
        return zlib.decompressobj().decompress(body.partition(b"\0")[2][1:], MOST_BYTES)
    except zlib.error:
        return b""


def is_table(profile: bytes) -> bool:
    """Whether a profile uses a colour table, or is not for RGB or grey. Its pixels must then be converted."""
    if not HEADER_BYTES < len(profile) <= MOST_BYTES or profile[36:40] != b"acsp":
        return False
    return profile[16:20] not in {b"RGB ", b"GRAY"} or b"A2B0" in profile[HEADER_BYTES : HEADER_BYTES + 12 * MOST_TAGS]


def from_table(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image to sRGB by its profile. If that is damaged, convert as Pillow does without one."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image.convert("RGB")
    return image.convert("RGB") if converted is None else converted


def to_srgb(pixels: RGB, profile: bytes) -> RGB:
    """Convert H×W×3 in place from a profile that this module wrote. Without a profile nothing changes."""
    if not profile:
        return pixels
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    transform = ImageCms.ImageCmsTransform(
        source, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")), "RGB", "RGB", intent
    )
    rows = max(1, STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        strip = Image.fromarray(pixels[top : top + rows])
        pixels[top : top + rows] = np.asarray(transform.apply_in_place(strip))
    return pixels


def _space_of_icc(profile: bytes) -> Space:
    """Raises ValueError, struct.error or LookupError if the profile is of another kind, or damaged."""
    if not HEADER_BYTES < len(profile) <= MOST_BYTES or profile[36:40] != b"acsp" or is_table(profile):
        raise ValueError
    tags = _tags(profile)
    if profile[16:20] == b"GRAY":
        return Space(_to_xyz(BT709), np.tile(_curve(tags[b"kTRC"]), (3, 1)))
    columns = [np.array(struct.unpack_from(">3i", tags[name], 8)) / 65_536 for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
    return Space(np.column_stack(columns), np.stack([_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC")]))


def _tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">I", profile, HEADER_BYTES)
    rows = (struct.unpack_from(">4sII", profile, HEADER_BYTES + 4 + 12 * row) for row in range(min(count, MOST_TAGS)))
    return {name: profile[start : start + length] for name, start, length in rows}


def _curve(tag: bytes) -> Float64:
    """A curve at 256 levels that never falls, so that it cannot hold text (ICC.1:2022, sections 10.6 and 10.18)."""
    level = np.linspace(0, 1, LEVELS)
    curve = _parametric(tag, level) if tag[:4] == b"para" else _sampled(tag, level)
    if not np.isfinite(curve).all():
        raise ValueError
    return np.asarray(np.maximum.accumulate(np.clip(curve, 0, 1)), dtype=np.float64)


def _sampled(tag: bytes, level: Float64) -> Float64:
    if tag[:4] != b"curv":
        raise ValueError
    (count,) = struct.unpack_from(">I", tag, 8)
    values = np.frombuffer(tag, ">u2", count, 12)
    if count <= 1:
        return level ** (values[0] / 256 if count else 1.0)
    return np.interp(level, np.linspace(0, 1, count), values / 65_535)


def _parametric(tag: bytes, level: Float64) -> Float64:
    (kind,) = struct.unpack_from(">H", tag, 8)
    count = (1, 3, 4, 5, 7)[kind]
    given = [value / 65_536 for value in struct.unpack_from(f">{count}i", tag, 12)]
    gamma, a, b, c, d, e, f = given + [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0][count:]
    if kind in {1, 2}:
        c, d, e, f = 0.0, -b / a if a else 0.0, c, c  # below -b/a the curve is flat
    power = np.maximum(a * level + b, 0) ** gamma + e
    return np.asarray(np.where(level >= d, power, c * level + f), dtype=np.float64)


def _profile_of_gamma(chunks: Mapping[bytes, bytes]) -> bytes:
    """From gAMA, and cHRM where it is there."""
    if b"gAMA" not in chunks:
        return b""
    gamma = struct.unpack(">I", chunks[b"gAMA"])[0] / 100_000
    level = np.linspace(0, 1, LEVELS)
    curve = srgb_curve(level) if abs(gamma - SRGB_GAMMA) < SRGB_SLACK else level ** (1 / gamma)
    points = BT709
    if b"cHRM" in chunks:
        white, red, green, blue = np.reshape(struct.unpack(">8I", chunks[b"cHRM"]), (4, 2)) / 100_000
        points = (tuple(red), tuple(green), tuple(blue), tuple(white))
    return _written(Space(_to_xyz(points), np.tile(curve, (3, 1))))


def _to_xyz(points: Points) -> Float64:
    """From linear light to XYZ, adapted from the white of `points` to D50 (ICC.1:2022, annex E)."""
    xyz = np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in points]).T
    matrix = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    scale = (BRADFORD @ D50) / (BRADFORD @ xyz[:, 3])
    return np.asarray(np.linalg.solve(BRADFORD, scale[:, None] * BRADFORD) @ matrix, dtype=np.float64)


def _is_srgb(space: Space) -> bool:
    """Whether colours sampled from the whole cube stay unchanged."""
    steps = np.linspace(0, LEVELS - 1, 6).round().astype(int)
    levels = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3)
    linear = np.stack([curve[levels[:, channel]] for channel, curve in enumerate(space.curves)])
    light = np.clip(np.linalg.solve(_to_xyz(BT709), space.matrix @ linear), 0, 1)
    encoded = np.where(light <= SRGB_TOE, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    greys = np.abs(space.curves - srgb_curve(np.linspace(0, 1, LEVELS))).max() < SAME_CURVE
    return bool(greys and np.abs(encoded.T * 255 - levels).max() <= SAME_LEVELS)


def _written(space: Space) -> bytes:
    """A profile of version 2.1 with only colour tags. Empty for sRGB. Raises ValueError for invalid colours."""
    if not np.isfinite(space.matrix).all() or np.abs(space.matrix).max() > 2 or _is_srgb(space):  # noqa: PLR2004
        return b""
    bodies = {
        b"desc": struct.pack(">4s4xI", b"desc", 6) + b"Photo\0" + bytes(78),
        b"cprt": b"text\0\0\0\0None\0",
        b"wtpt": _xyz(D50),
        **{name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), space.matrix.T, strict=True)},
        **{name: _samples(curve) for name, curve in zip((b"rTRC", b"gTRC", b"bTRC"), space.curves, strict=True)},
    }
    places, behind = dict[bytes, int](), b""
    start = HEADER_BYTES + 4 + 12 * len(bodies)
    for body in bodies.values():
        if body not in places:
            places[body] = start + len(behind)
            behind += body + bytes(-len(body) % 4)
    rows = b"".join(struct.pack(">4sII", name, places[body], len(body)) for name, body in bodies.items())
    return _header(start + len(behind)) + struct.pack(">I", len(bodies)) + rows + behind


def _header(size: int) -> bytes:
    made = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    fields = (size, b"", 0x02100000, b"mntrRGB XYZ ", made, b"acsp", b"", _xyz(D50)[8:])
    return struct.pack(">I4sI12s12s4s28s12s48x", *fields)


def _xyz(values: Float64) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *np.rint(values * 65_536).astype(int).tolist())


def _samples(curve: Float64) -> bytes:
    values: list[int] = np.rint(curve * 65_535).astype(int).tolist()
    return struct.pack(f">4s4xI{LEVELS}H", b"curv", LEVELS, *values)


def _pq(level: Float64) -> Float64:
    power = level ** (32 / 2523)
    return _below_white(
        10_000 / WHITE_NITS * (np.maximum(power - 107 / 128, 0) / (2413 / 128 - 2392 / 128 * power)) ** (8192 / 1305)
    )


def _hlg(level: Float64) -> Float64:
    scene = np.where(level <= 0.5, level**2 / 3, (np.exp((level - 0.55991073) / 0.17883277) + 0.28466892) / 12)  # noqa: PLR2004
    return _below_white(HLG_NITS / WHITE_NITS * scene**1.2)


def _below_white(light: Float64) -> Float64:
    """Compress highlights so that they stay below 1."""
    over = np.maximum(light - KNEE, 0) / (1 - KNEE)
    return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * (1 - np.exp(-over)))


_TRANSFERS: Mapping[int, Callable[[Float64], Float64]] = {
    4: lambda level: level**2.2,
    5: lambda level: level**2.8,
    8: lambda level: level,
    16: _pq,
    18: _hlg,
}
"""By code point. All others are treated as sRGB's, as browsers treat BT.709's."""
