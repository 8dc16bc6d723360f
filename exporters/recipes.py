"""Which checkpoint becomes which model, and what its inputs and outputs are called."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from exporters.catalogue import Catalogue
from exporters.errors import UnknownNameError
from exporters.tflite.translate import InputRange

SYMMETRIC = InputRange(-1.0, 1.0)
UNIT = InputRange(0.0, 1.0)


@dataclass(frozen=True)
class Recipe:
    """A model made of one checkpoint. Checkpoint outputs that are not named are dropped."""

    name: str
    checkpoint: str
    input_range: InputRange
    outputs: Mapping[str, str]


def _recipe(name: str, checkpoint: str, input_range: InputRange, **outputs: str) -> Recipe:
    """A recipe whose `outputs` are given as ONNX name = TFLite name."""
    return Recipe(name, checkpoint, input_range, MappingProxyType({tflite: onnx for onnx, tflite in outputs.items()}))


# Input ranges: the ImageToTensorCalculator options of MediaPipe 0.10.21's own graphs for these files.
RECIPES: tuple[Recipe, ...] = (
    _recipe("pose_detection", "pose_detection.tflite", SYMMETRIC, boxes="Identity", scores="Identity_1"),
    _recipe(
        "pose_landmark_full",
        "pose_landmark_full.tflite",
        UNIT,
        landmarks="Identity",
        presence="Identity_1",
        mask="Identity_2",
        heatmap="Identity_3",
    ),
    _recipe(
        "face_detection_short_range",
        "face_detection_short_range.tflite",
        SYMMETRIC,
        boxes="regressors",
        scores="classificators",
    ),
    _recipe(
        "face_detection_full_range",
        "face_detection_full_range_sparse.tflite",
        SYMMETRIC,
        boxes="Identity",
        scores="Identity_1",
    ),
    _recipe("face_landmark", "face_landmark.tflite", UNIT, landmarks="conv2d_21", presence="conv2d_31"),
)


def select(names: Sequence[str], catalogue: Catalogue) -> list[Recipe]:
    """The recipes called `names`; without names, those whose checkpoint something uses. Raises UnknownNameError."""
    if not names:
        used = {entry.name for entry in catalogue.file if entry.used_by}
        return [recipe for recipe in RECIPES if recipe.checkpoint in used]
    known = [recipe.name for recipe in RECIPES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownNameError(unknown, known)
    return [recipe for recipe in RECIPES if recipe.name in names]
