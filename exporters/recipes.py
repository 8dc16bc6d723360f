"""Which checkpoint becomes which model, and the names of its inputs and outputs."""

from collections.abc import Sequence
from types import MappingProxyType

from exporters.catalogue import Catalogue
from exporters.detectors.centerface import CenterFaceRecipe, QuantizedCenterFaceRecipe
from exporters.detectors.centernet import CenterNetRecipe
from exporters.detectors.clpr_plates import PlatesRecipe
from exporters.errors import UnknownNameError
from exporters.recipe import Recipe
from exporters.tflite.translate import InputRange, TfliteRecipe

SYMMETRIC = InputRange(-1.0, 1.0)
UNIT = InputRange(0.0, 1.0)


def _tflite(name: str, checkpoint: str, input_range: InputRange, **outputs: str) -> TfliteRecipe:
    """A recipe whose `outputs` are given as ONNX name = TFLite name."""
    names = MappingProxyType({tflite: onnx for onnx, tflite in outputs.items()})
    return TfliteRecipe(name, (checkpoint,), input_range, names)


# Input ranges are the ImageToTensorCalculator options of MediaPipe 0.10.21's own graphs for these files.
RECIPES: tuple[Recipe, ...] = (
    _tflite("pose_detection", "pose_detection.tflite", SYMMETRIC, boxes="Identity", scores="Identity_1"),
    _tflite(
        "pose_landmark_full",
        "pose_landmark_full.tflite",
        UNIT,
        landmarks="Identity",
        presence="Identity_1",
        mask="Identity_2",
        heatmap="Identity_3",
    ),
    _tflite(
        "face_detection_short_range",
        "face_detection_short_range.tflite",
        SYMMETRIC,
        boxes="regressors",
        scores="classificators",
    ),
    _tflite(
        "face_detection_full_range",
        "face_detection_full_range_sparse.tflite",
        SYMMETRIC,
        boxes="Identity",
        scores="Identity_1",
    ),
    _tflite("face_landmark", "face_landmark.tflite", UNIT, landmarks="conv2d_21", presence="conv2d_31"),
    CenterFaceRecipe("centerface", ("centerface.onnx",)),
    QuantizedCenterFaceRecipe("centerface_int8", ("centerface.onnx", "astronaut.png", "bus.jpg", "zidane.jpg")),
    PlatesRecipe("clpr_plates", ("clp_det.onnx",)),
    CenterNetRecipe("centernet", ("centernet.json", "centernet.bin")),
)


def select(names: Sequence[str], catalogue: Catalogue) -> list[Recipe]:
    """The recipes called `names`, or without names those whose checkpoints are used. Raises UnknownNameError."""
    if not names:
        used = {entry.name for entry in catalogue.file if entry.used_by}
        return [recipe for recipe in RECIPES if used.issuperset(recipe.checkpoints)]
    known = [recipe.name for recipe in RECIPES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UnknownNameError(unknown, known)
    return [recipe for recipe in RECIPES if recipe.name in names]
