"""A whole photo in the input of an object detector, and the way back."""

from enum import StrEnum

import numpy as np

from vision.arrays import RGB, Affine, Size

BORDER = 114
"""Grey around a photo: what YOLO and YOLOX models were trained with."""


class Fit(StrEnum):
    """How a photo of another shape goes into a model's input."""

    LETTERBOX = "letterbox"
    """Aspect ratio kept, sides rounded, centred on grey: LetterBox of Ultralytics."""
    CORNER = "corner"
    """Aspect ratio kept, sides cut to whole pixels, top left on grey: `preproc` of YOLOX."""
    STRETCH = "stretch"
    """Each side for itself, no border: deface, RT-DETR."""


def size_within(size: Size, bounds: Size, multiple: int) -> Size:
    """Scale a photo of `size` into `bounds` or their transpose, sides rounded up to whole multiples.

    The longer side of the photo goes along the longer one of `bounds`, which hold a whole multiple at least.
    """
    width, height = bounds if (size[0] >= size[1]) == (bounds[0] >= bounds[1]) else bounds[::-1]
    scale = min(width / size[0], height / size[1])
    counts = [max(-(-round(side * scale) // multiple), 1) for side in size]
    return min(counts[0], width // multiple) * multiple, min(counts[1], height // multiple) * multiple


def fit_affine(size: Size, target: Size, fit: Fit) -> Affine:
    """Map pixels of a photo of `size` into an input of `target` size.

    Where the aspect ratio is kept both axes have one scale, though the sides drawn are whole pixels: so the models'
    own code maps boxes back, and so what they learned of its rounding stays true.
    """
    left, top, _, _ = place(size, target, fit)
    across, down = _scales(size, target, fit)
    return np.array([[across, 0.0, left], [0.0, down, top]])


def bordered(drawn: RGB, left: int, top: int, target: Size) -> RGB:
    """An input of `target` size that is grey about what is drawn at its place."""
    if drawn.shape[1::-1] == target:
        return drawn
    boxed: RGB = np.full((target[1], target[0], 3), BORDER, dtype=np.uint8)
    boxed[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    return boxed


def place(size: Size, target: Size, fit: Fit) -> tuple[int, int, int, int]:
    """Left, top, width and height of the photo in the input. Of an odd border the smaller half comes first."""
    if fit is Fit.STRETCH:
        return 0, 0, *target
    whole = int if fit is Fit.CORNER else round
    width, height = (max(whole(side * scale), 1) for side, scale in zip(size, _scales(size, target, fit), strict=True))
    if fit is Fit.CORNER:
        return 0, 0, width, height
    return (target[0] - width) // 2, (target[1] - height) // 2, width, height


def _scales(size: Size, target: Size, fit: Fit) -> tuple[float, float]:
    across, down = target[0] / size[0], target[1] / size[1]
    return (across, down) if fit is Fit.STRETCH else (min(across, down),) * 2
