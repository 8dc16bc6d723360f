"""How far a form of a model agrees with the model itself: its labels or boxes on photos, and its time."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vision.nms import ious

Labels: TypeAlias = NDArray[np.uint8]
"""Label maps of any shape."""
Rows: TypeAlias = NDArray[np.float32]
"""N×6 or more: x1, y1, x2, y2, score, class, and what a detector adds."""
Images: TypeAlias = Sequence[NDArray[np.uint8]]
Run: TypeAlias = Callable[[NDArray[np.uint8]], object]
"""One run of a form of a model on an image."""
REPEATS = 3


class LabelAgreement(BaseModel):
    """How far the labels of a form are those of the model, over all pixels of all photos.

    The IoU of a label is the number of pixels to which both give it, over the number to which either does. `mean_iou`
    is the mean over the labels of `iou`, which are those that either gives.
    """

    model_config = ConfigDict(frozen=True)

    pixels: int
    equal: float
    """Share of the pixels with the same label, 0–1. 1 without pixels."""
    mean_iou: float
    iou: Mapping[int, float]


class Confusion:
    """Counts of pixels by the label of the model and the label of the form, added up photo by photo."""

    def __init__(self, labels: int) -> None:
        """`labels` is how many there are: from 0 to one less."""
        self._counts = np.zeros((labels, labels), dtype=np.int64)

    def add(self, model: Labels, form: Labels) -> None:
        """Count the pixels of one photo. Raises ValueError for maps of different shapes, or a label that is not."""
        count = len(self._counts)
        if model.shape != form.shape:
            raise ValueError(f"label maps of shapes {model.shape} and {form.shape} cannot be compared")
        highest = max(model.max(initial=0), form.max(initial=0))
        if highest >= count:
            raise ValueError(f"there is no label {highest}: labels end at {count - 1}")
        pairs = model.ravel().astype(np.int64) * count + form.ravel()
        self._counts += np.bincount(pairs, minlength=count * count).reshape(count, count)

    def agreement(self) -> LabelAgreement:
        """The agreement of all pixels that were counted."""
        both = np.diagonal(self._counts)
        either = self._counts.sum(axis=0) + self._counts.sum(axis=1) - both
        pixels = int(self._counts.sum())
        iou = {int(label): float(both[label] / either[label]) for label in np.flatnonzero(either)}
        return LabelAgreement(
            pixels=pixels,
            equal=float(both.sum() / pixels) if pixels else 1.0,
            mean_iou=statistics.fmean(iou.values()) if iou else 1.0,
            iou=iou,
        )


class Speed(BaseModel):
    """Milliseconds of one image: the median of all images, each counted with its fastest run."""

    model_config = ConfigDict(frozen=True)

    model_ms: float
    form_ms: float

    @property
    def gain(self) -> float:
        """How many times as fast the form is."""
        return self.model_ms / self.form_ms


def compare_speed(model: Run, form: Run, images: Images, clock: Callable[[], float] = time.perf_counter) -> Speed:
    """Run both on every image in turns, so that a busy moment of the machine meets both. `clock` counts seconds.

    The first run of each is not counted: it allocates. Raises ValueError without images.
    """
    if not images:
        raise ValueError("the speed of a model needs at least one photo")
    for run in (model, form):
        run(images[0])
    rounds = [
        [(_seconds(model, image, clock), _seconds(form, image, clock)) for _ in range(REPEATS)] for image in images
    ]
    of_model, of_form = (
        1000 * statistics.median(min(times[side] for times in image) for image in rounds) for side in (0, 1)
    )
    return Speed(model_ms=of_model, form_ms=of_form)


def _seconds(run: Run, image: NDArray[np.uint8], clock: Callable[[], float]) -> float:
    began = clock()
    run(image)
    return clock() - began


class BoxAgreement(BaseModel):
    """How far a form of a detector finds what the model finds, and nothing else.

    A box is found by the other if that has one of the same class at it (IoU of at least 0.5) with half the score.
    """

    model_config = ConfigDict(frozen=True)

    boxes: int
    """Of the model, with a score of at least 0.5, over all photos and before overlapping ones are dropped."""
    found: float
    """Share of them that the form finds. 1 if there are none."""
    confirmed: float
    """Share of the form's own that the model finds."""


_SURE, _SAME = 0.5, 0.5


def box_agreement(pairs: Sequence[tuple[Rows, Rows]]) -> BoxAgreement:
    """The agreement of the rows of each photo: of the model, and of the form."""
    nothing = np.zeros(0, np.bool_)
    found = np.concatenate([nothing, *(_confirmed(model, form) for model, form in pairs)])
    confirmed = np.concatenate([nothing, *(_confirmed(form, model) for model, form in pairs)])
    shares = [float(each.mean()) if len(each) else 1.0 for each in (found, confirmed)]
    return BoxAgreement(boxes=len(found), found=shares[0], confirmed=shares[1])


def _confirmed(rows: Rows, others: Rows) -> NDArray[np.bool_]:
    """Of each sure row, whether the others have it."""
    sure, likely = rows[rows[:, 4] >= _SURE], others[others[:, 4] >= _SURE / 2]
    same = ious(sure[:, :4].astype(np.float64), likely[:, :4].astype(np.float64)) >= _SAME
    shown: NDArray[np.bool_] = (same & (sure[:, 5:6] == likely[:, 5])).any(axis=1)
    return shown
