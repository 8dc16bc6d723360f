"""How a form of a model answers photos beside the model itself. The report lies beside the form."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from exporters.errors import TranslationError
from exporters.forms.agreement import (
    BoxAgreement,
    Confusion,
    LabelAgreement,
    Speed,
    box_agreement,
    compare_speed,
)
from exporters.forms.precision import Images
from exporters.onnx_model import INPUT
from exporters.parity import Difference
from exporters.recipe import RUNTIME_ERRORS
from steps.onnx_session import OUTPUT as ROWS

LABELS = "labels"
_TIMED = 3
"""Images whose time is taken."""
_MOST_LABELS = 256
_FEW_LABELS, _FEW_BOXES = 0.95, 0.9
Answer: TypeAlias = Mapping[str, NDArray[np.float32]]
Run: TypeAlias = Callable[[NDArray[np.uint8]], Answer]
"""A model: every output of one image H×W×3, by name."""


class FormReport(BaseModel):
    """What a form was made of, and how far it agrees with that on photos."""

    model_config = ConfigDict(frozen=True)

    model: str
    source: str
    source_sha256: str
    model_sha256: str
    calibrated_on: tuple[str, ...]
    """Names of the photos that gave the ranges. Empty for half precision, which needs none."""
    compared_on: tuple[str, ...]
    labels: LabelAgreement | None
    boxes: BoxAgreement | None
    outputs: Mapping[str, Difference]
    """Of the other outputs, in units of the standard deviation of the model's."""
    speed: Speed

    @property
    def differs_much(self) -> bool:
        """Whether one label in twenty, or one box in ten, is another."""
        boxes = self.boxes and min(self.boxes.found, self.boxes.confirmed) < _FEW_BOXES
        return bool(boxes or (self.labels and self.labels.equal < _FEW_LABELS))


def read_form(path: Path) -> FormReport | None:
    """The report at `path`. None if there is none or it cannot be read."""
    try:
        return FormReport.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


class Session:
    """A model on one thread. Raises TranslationError if onnxruntime cannot load or run it."""

    def __init__(self, model: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except RUNTIME_ERRORS as error:
            raise TranslationError(f"onnxruntime cannot load {model.name}: {error}") from error
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: NDArray[np.uint8]) -> Answer:
        """Every output of one image, by name."""
        try:
            values = self._session.run(self._names, {INPUT: image[np.newaxis]})
        except RUNTIME_ERRORS as error:
            raise TranslationError(f"onnxruntime cannot run this form: {error}") from error
        return dict(zip(self._names, values, strict=True))


class Agreements(BaseModel):
    """How far the answers of two models agree, as reports have it."""

    labels: LabelAgreement | None
    boxes: BoxAgreement | None
    outputs: Mapping[str, Difference]


def answers_compared(model: Run, form: Run, images: Images) -> Agreements:
    """Run both on every image. Raises TranslationError."""
    confusion, rows = Confusion(_MOST_LABELS), []
    gaps: dict[str, list[tuple[float, float]]] = {}
    for image in images:
        one, other = model(image), form(image)
        if LABELS in one:
            confusion.add(one[LABELS].astype(np.uint8), other[LABELS].astype(np.uint8))
        if ROWS in one:
            rows.append((one[ROWS][0], other[ROWS][0]))
        for name in one.keys() - {LABELS, ROWS}:
            gaps.setdefault(name, []).append(_gap(one[name], other[name]))
    found = confusion.agreement()
    return Agreements(
        labels=found if found.pixels else None,
        boxes=found_boxes if (found_boxes := box_agreement(rows)).boxes else None,
        outputs={name: _difference(each) for name, each in sorted(gaps.items())},
    )


def speed_compared(model: Run, form: Run, images: Images) -> Speed:
    """The time of both on the first images. Raises TranslationError."""
    return compare_speed(model, form, images[:_TIMED])


def _gap(one: NDArray[np.float32], other: NDArray[np.float32]) -> tuple[float, float]:
    """Largest and mean difference of one image's output."""
    gap = np.nan_to_num(np.abs(one - other), nan=np.inf) / (float(one.std(dtype=np.float64)) or 1.0)
    return float(gap.max()), float(gap.mean())


def _difference(gaps: Sequence[tuple[float, float]]) -> Difference:
    return Difference(largest=max(each[0] for each in gaps), mean=float(np.mean([each[1] for each in gaps])))
