"""Paint over targets in place, with a soft rim."""

from collections.abc import Iterable

import cv2
import numpy as np

from vision.arrays import RGB, Box, Float32, Mask, Size
from vision.photo_info import PhotoError
from vision.redaction.region import Region, Window
from vision.redaction.styles import Redaction, Shape, Target, painted


def coverage(region: Region, window: Window) -> Mask:
    """H×W for the window: 255 everywhere in the region, falling to 0 at the outer edge of its rim."""
    across = _offsets(window.x1, window.x2, region.center[0])
    down = _offsets(window.y1, window.y2, region.center[1])
    if region.shape is Shape.ELLIPSE:
        return _ellipse(region, across, down)
    box = _box(region, np.abs(across), np.abs(down))
    return np.minimum(box, _behind(region, across, down)) if region.edges else box


def _offsets(start: int, end: int, center: float) -> Float32:
    """Offsets of pixel centres from the region's centre."""
    offsets: Float32 = np.arange(start, end, dtype=np.float32) + np.float32(0.5 - center)
    return offsets


def _ellipse(region: Region, across: Float32, down: Float32) -> Mask:
    """Fall off with q = (x/A)² + (y/B)², where A and B are the half axes including the rim.

    q is 1 on the outer ellipse. Nowhere in the region is it more than `inner`, the larger of (a/A)² and (b/B)².
    """
    outer = [half + region.rim for half in region.half]
    inner = max((half / whole) ** 2 for half, whole in zip(region.half, outer, strict=True))
    scale = 255 / (1 - inner)
    columns, rows = (np.square(offsets / whole) * scale for offsets, whole in zip((across, down), outer, strict=True))
    level = np.subtract.outer(scale - rows, columns)
    _, inside = cv2.threshold(level, 0, 0, cv2.THRESH_TOZERO)
    return np.asarray(cv2.convertScaleAbs(inside), dtype=np.uint8)


def _box(region: Region, across: Float32, down: Float32) -> Mask:
    ramps = (
        np.clip((half + region.rim - offsets) * (255 / region.rim), 0, 255).astype(np.uint8)
        for offsets, half in zip((across, down), region.half, strict=True)
    )
    columns, rows = ramps
    return np.asarray(np.minimum.outer(rows, columns), dtype=np.uint8)


def _behind(region: Region, across: Float32, down: Float32) -> Mask:
    """Full coverage behind every edge, and less the farther a pixel lies in front of one."""
    before = np.full((len(down), len(across)), -np.inf, dtype=np.float32)
    for x, y, distance in np.array(region.edges, dtype=np.float32):
        np.maximum(before, np.add.outer(down * y - distance, across * x), out=before)
    _, faded = cv2.threshold(np.float32(region.rim) - before, 0, 0, cv2.THRESH_TOZERO)
    return np.asarray(cv2.convertScaleAbs(faded, alpha=255 / region.rim), dtype=np.uint8)


MOST_PIXELS = 2_500_000_000
"""Limit for the pixels painted in one photo; they take some minutes. It is fifty times the largest photo, more than any
photo needs."""


def redact(pixels: RGB, targets: Iterable[Target], keep: Iterable[Box] = ()) -> None:
    """Paint over each target in `pixels` H×W×3, in place. Pixels that a box of `keep` touches are not changed.

    Targets may extend beyond the photo. The work is done on crops, so it costs what the regions cover, whatever the
    photo's size. Raises PhotoError (image_too_large) if they cover more than MOST_PIXELS in all; then nothing is
    painted.
    """
    size: Size = pixels.shape[1], pixels.shape[0]
    regions = [(Region.about(target), target.redaction) for target in targets]
    _require_end(sum(region.window(size).area for region, _ in regions))
    windows = [Window.about(box, size) for box in keep]
    kept = [pixels[window.slices].copy() for window in windows]
    for region, redaction in regions:
        _redact_one(pixels, region, redaction)
    for window, original in zip(windows, kept, strict=True):
        pixels[window.slices] = original


def _require_end(covered: int) -> None:
    if covered > MOST_PIXELS:
        detail = f"what is to be hidden covers {covered} pixels, one over the other; at most {MOST_PIXELS} are painted"
        raise PhotoError("image_too_large", f"{detail}: send the photo smaller, or ask for less")


def _redact_one(pixels: RGB, region: Region, redaction: Redaction) -> None:
    window = region.window((pixels.shape[1], pixels.shape[0]))
    if window.empty:
        return
    crop = pixels[window.slices]
    alpha = cv2.cvtColor(coverage(region, window), cv2.COLOR_GRAY2RGB)
    over = cv2.multiply(painted(crop, region.side, redaction), alpha, scale=1 / 255)
    crop[:] = cv2.add(over, cv2.multiply(crop, 255 - alpha, scale=1 / 255))
