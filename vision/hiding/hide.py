"""Hiding in place."""

from collections.abc import Iterable

import cv2

from vision.arrays import RGB, Box, Size
from vision.hiding.coverage import coverage
from vision.hiding.options import Hiding, Target
from vision.hiding.region import Region, Window
from vision.hiding.styles import painted
from vision.photo_info import PhotoError

MOST_PIXELS = 2_500_000_000
"""Painted in one photo, some minutes: fifty times the largest photo, more than what any photo shows."""


def hide(pixels: RGB, targets: Iterable[Target], keep: Iterable[Box] = ()) -> None:
    """Paint over each target in `pixels` H×W×3, in place; pixels that a box of `keep` touches stay as they are.

    Targets may leave the photo. The work is done on crops: it costs what the regions cover, whatever the photo's size.
    Raises PhotoError (image_too_large) where they cover over MOST_PIXELS in all; then nothing is painted.
    """
    size: Size = pixels.shape[1], pixels.shape[0]
    regions = [(Region.about(target), target.hiding) for target in targets]
    _require_end(sum(region.window(size).area for region, _ in regions))
    windows = [Window.about(box, size) for box in keep]
    kept = [pixels[window.slices].copy() for window in windows]
    for region, hiding in regions:
        _hide_one(pixels, region, hiding)
    for window, original in zip(windows, kept, strict=True):
        pixels[window.slices] = original


def _require_end(covered: int) -> None:
    if covered > MOST_PIXELS:
        detail = f"what is to be hidden covers {covered} pixels, one over the other; at most {MOST_PIXELS} are painted"
        raise PhotoError("image_too_large", f"{detail}: send the photo smaller, or ask for less")


def _hide_one(pixels: RGB, region: Region, hiding: Hiding) -> None:
    window = region.window((pixels.shape[1], pixels.shape[0]))
    if window.empty:
        return
    crop = pixels[window.slices]
    alpha = cv2.cvtColor(coverage(region, window), cv2.COLOR_GRAY2RGB)
    over = cv2.multiply(painted(crop, region.side, hiding), alpha, scale=1 / 255)
    crop[:] = cv2.add(over, cv2.multiply(crop, 255 - alpha, scale=1 / 255))
