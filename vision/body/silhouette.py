"""Masks of large photos: the person's outline as the photo shows it, finer than the model's mask.

The pose model's mask has 256×256 pixels and the canvas 384×512. In a photo of 12 megapixels, one canvas pixel covers
eight photo pixels a side. A guided filter (He, Sun and Tang: Guided Image Filtering, 2013; its fast form, He and Sun
2015) moves the edges of the model's mask to edges of the photo nearby.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vision.affine import compose, invert, of_indices, scale_and_shift, transform_points, warp
from vision.arrays import RGB, Affine, Box, Float32, LabelMap, Mask, Size
from vision.body.pose import POSE_SIDE, Pose
from vision.photo import Photo

WORK_SIZE: Size = (384, 512)
OUTPUT_SIZE: Size = (768, 1024)
ASPECT = 3 / 4
MARGIN = 0.06
"""Space on every side of the person, as a share of the person's longer side. Dilated masks still fit into it."""


@dataclass(frozen=True)
class Canvas:
    """A window with its top left corner at (x, y), `width` wide, in source pixels. It may extend beyond the photo."""

    x: float
    y: float
    width: float

    @cached_property
    def to_work(self) -> Affine:
        """Map source pixels to the 384×512 canvas."""
        return self.to(WORK_SIZE)

    @cached_property
    def to_output(self) -> Affine:
        """Map source pixels to the 768×1024 canvas."""
        return self.to(OUTPUT_SIZE)

    def to(self, size: Size) -> Affine:
        """Map source pixels to the window drawn in `size`, which is 3:4."""
        scale = size[0] / self.width
        return scale_and_shift(scale, -self.x * scale, -self.y * scale)


def canvas_about(box: Box, size: Size) -> Canvas:
    """Frame a person's box, clipped to the photo of `size`, with a margin, in the smallest 3:4 window around it."""
    width, height = size
    x1, x2 = (min(max(x, 0.0), width) for x in box[::2])
    y1, y2 = (min(max(y, 0.0), height) for y in box[1::2])
    margin = 2 * MARGIN * max(x2 - x1, y2 - y1, 1.0)
    window = max(x2 - x1 + margin, (y2 - y1 + margin) * ASPECT)
    return Canvas((x1 + x2 - window) / 2, (y1 + y2 - window / ASPECT) / 2, window)


def canvas_about_centre(size: Size) -> Canvas:
    """Cut the largest 3:4 window about the middle of a photo of `size`, as the service before this one did."""
    width, height = size
    window = min(width, height * ASPECT)
    return Canvas((width - window) / 2, (height - window / ASPECT) / 2, window)


def canvas_pixels(photo: Photo, canvas: Canvas) -> RGB:
    """Draw the window 512×384×3 as parsers and pose networks see it. Beyond the photo is black."""
    from_photo = compose(invert(photo.from_source), canvas.to_output)
    drawn = warp(photo.pixels, from_photo, OUTPUT_SIZE, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.resize(drawn, WORK_SIZE, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def to_source(image: NDArray[np.uint8], canvas: Canvas, size: Size) -> NDArray[np.uint8]:
    """Draw a mask or label map of the window into a photo of `size`. Nearest pixel, zeros outside the window."""
    height, width = image.shape
    return warp(image, invert(canvas.to((width, height))), size, interpolation=cv2.INTER_NEAREST)


def to_output(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge a 512×384 mask or label map to 1024×768, nearest pixel."""
    return np.asarray(cv2.resize(image, OUTPUT_SIZE, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


Soft: TypeAlias = NDArray[np.uint8]
"""H×W, 255 inside, 0 outside, 128 at the edge."""

FACTOR = 4
FINE_SIZE: Size = (WORK_SIZE[0] * FACTOR, WORK_SIZE[1] * FACTOR)
"""Size of the window around a person in which edges are searched: 3 megapixels, however large the photo is."""
FINE_FROM = 3.0
"""From this many photo pixels per canvas pixel on, the outline is refined. In smaller photos the steps are too small to
see."""

REACH = 2.5
"""How far an edge may move, in pixels of the model's mask."""
EPSILON = 3e-4
"""Variance of luminance (0…1). Below it there is no edge to follow: it is that of the noise in a phone's photo."""
SUBSAMPLING = 4
STEEPNESS = 4.0
"""Softness of the outline in brightness: about that of the photo's own edges."""
SPECK = 5
"""Side of a median filter in fine pixels. Smaller details are texture."""

SMOOTHED, FAR = 3, 15
"""Sides, in canvas pixels, of the window that rounds a mask's steps, and of the window that extends it past an outline.
"""


def is_large(canvas: Canvas) -> bool:
    """Whether the canvas's steps would be visible in the photo."""
    return canvas.width > FINE_FROM * WORK_SIZE[0]


def outline(pose: Pose, canvas: Canvas, photo: Photo) -> Soft:
    """Draw the person at FINE_SIZE, up to the photo's edges that are near those of the model's mask."""
    to_fine = canvas.to(FINE_SIZE)
    affine = compose(of_indices(pose.roi.to_source(POSE_SIDE)), to_fine)
    likely = warp(pose.mask, affine, FINE_SIZE, interpolation=cv2.INTER_LINEAR)
    return _at_edges(likely, pose.roi.side / POSE_SIDE * to_fine[0, 0], canvas, photo)


def outline_of_labels(label_map: LabelMap, canvas: Canvas, photo: Photo) -> Soft:
    """Draw everything labelled on the canvas at FINE_SIZE, up to the photo's edges near that area's."""
    labelled = np.where(label_map > 0, np.uint8(255), np.uint8(0))
    return _at_edges(np.asarray(cv2.resize(labelled, FINE_SIZE), dtype=np.uint8), FACTOR, canvas, photo)


def _at_edges(likely: Soft, mask_pixel: float, canvas: Canvas, photo: Photo) -> Soft:
    """Move the edges of `likely`, one of whose own pixels is `mask_pixel` fine ones wide."""
    from_photo = compose(invert(photo.from_source), canvas.to(FINE_SIZE))
    window = warp(photo.pixels, from_photo, FINE_SIZE, interpolation=cv2.INTER_LINEAR, border=cv2.BORDER_REPLICATE)
    moved = _guided(
        np.asarray(cv2.cvtColor(window, cv2.COLOR_RGB2GRAY), dtype=np.uint8),
        likely,
        max(REACH * mask_pixel / SUBSAMPLING, 1.0),
    )
    return np.asarray(cv2.medianBlur(moved, SPECK), dtype=np.uint8)


def carried(mask: Mask, label_map: LabelMap, person: Soft) -> Soft:
    """Extend a canvas mask to the outline `person`, which is at FINE_SIZE with 128 and more inside.

    Inside the outline the mask continues its values inside the label map's person. Outside it continues those outside.
    """
    inside, outside = (_spread(mask, where) for where in (label_map > 0, label_map == 0))
    within = cv2.multiply(inside, person, scale=1 / 255)
    return np.asarray(cv2.add(within, cv2.multiply(outside, cv2.bitwise_not(person), scale=1 / 255)), dtype=np.uint8)


def fine_to_source(image: Soft, canvas: Canvas, size: Size) -> Mask:
    """Draw a mask of FINE_SIZE into a photo of `size`: 255 where it is 128 or more."""
    to_source = invert(canvas.to(FINE_SIZE))
    x, y, width, height = cv2.boundingRect(image)
    corners = transform_points(np.array([(x - 1.0, y - 1.0), (x + width + 1.0, y + height + 1.0)]), to_source)
    (left, top), (right, bottom) = np.clip(np.rint(corners), 0, size).astype(int).tolist()
    mask: Mask = np.zeros(size[::-1], dtype=np.uint8)
    if width and right > left and bottom > top:
        to_part = compose(to_source, scale_and_shift(1.0, -left, -top))
        part = warp(image, to_part, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        cv2.threshold(part, 127, 255, cv2.THRESH_BINARY, dst=mask[top:bottom, left:right])
    return mask


def _guided(guide: Soft, likely: Soft, radius: float) -> Soft:
    """Move the edges of `likely` to those of `guide`. `radius` is in pixels of the subsampled images."""
    small = (FINE_SIZE[0] // SUBSAMPLING, FINE_SIZE[1] // SUBSAMPLING)
    luminance, mask = (_unit(_reduced(image, small)) for image in (guide, likely))
    side = 2 * round(radius) + 1
    mean, share = _mean(luminance, side), _mean(mask, side)
    covariance = _mean(luminance * mask, side) - mean * share
    slope: Float32 = np.divide(covariance, _mean(luminance * luminance, side) - mean * mean + EPSILON)
    offset = share - slope * mean
    scale, shift = (cv2.resize(_mean(plane, side), FINE_SIZE) for plane in (slope, offset))
    cv2.multiply(scale, guide, dst=scale, scale=1 / 255, dtype=cv2.CV_32F)
    cv2.add(scale, shift, dst=scale)
    steep = cv2.addWeighted(scale, 255 * STEEPNESS, scale, 0, 127.5 * (1 - STEEPNESS))
    return np.clip(steep, 0, 255, out=steep).astype(np.uint8)


def _spread(mask: Mask, where: NDArray[np.bool_]) -> Soft:
    """Extend a mask beyond `where`, the area in which it is valid, and round its steps. The result is at FINE_SIZE."""
    holds = where.astype(np.float32)
    value = _unit(mask) * holds
    near, far = (_share(value, holds, side) for side in (SMOOTHED, FAR))
    spread = np.where(np.isnan(near), np.nan_to_num(far), near)
    return np.asarray(cv2.resize((255 * spread).astype(np.uint8), FINE_SIZE), dtype=np.uint8)


def _share(value: Float32, holds: Float32, side: int) -> Float32:
    """Mean of `value` over the pixels around each that `holds` counts. NaN where it counts none."""
    counted = _mean(holds, side)
    return np.divide(_mean(value, side), counted, out=np.full_like(counted, np.nan), where=counted > 0.5 / side**2)


def _reduced(image: Soft, size: Size) -> Soft:
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _unit(image: Soft) -> Float32:
    unit = image.astype(np.float32)
    unit /= 255
    return unit


def _mean(plane: Float32, side: int) -> Float32:
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REPLICATE), dtype=np.float32)
