from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from exporters.detectors.added import AddedDetector, inspected
from exporters.errors import TranslationError, UnknownNameError
from exporters.runners import run_onnx
from tests.unit.exporters.detectors import drawn

LABELS = ("car", "plate", "truck")
ULTRALYTICS = {"stride": "32", "names": "{0: 'car', 1: 'plate', 2: 'truck'}"}
Draw = Callable[[], tuple[NDArray[np.float32], NDArray[np.float32]]]

FORMS = [
    (drawn.yolov8, {}, "yolov8"),
    (drawn.yolov5, {}, "yolov5"),
    (drawn.yolox, {}, "yolox"),
    (drawn.rows, ULTRALYTICS, "rows"),
    (drawn.rows, {}, "rows-stretched"),
]


def red_and_blue(red: int, blue: int) -> NDArray[np.uint8]:
    """Two images: full of one red, full of one blue."""
    images = np.zeros((2, drawn.SIDE, drawn.SIDE, 3), np.uint8)
    images[0, ..., 0], images[1, ..., 2] = red, blue
    return images


def answers(detector: AddedDetector, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return run_onnx(detector.build([], {}).SerializeToString(), images)["detections"]


@pytest.mark.parametrize(("draw", "metadata", "form"), FORMS)
@pytest.mark.parametrize("batch", [1, "N"])
def test_the_form_is_recognised_and_the_box_comes_first(
    tmp_path: Path, draw: Draw, metadata: dict[str, str], form: str, batch: int | str
) -> None:
    detector = inspected(drawn.save(tmp_path / "my.onnx", draw(), metadata, batch), "my", LABELS, None)
    assert detector.form.name == form
    assert detector.batches == (batch == "N")
    found = answers(detector, red_and_blue(204, 102))
    bright = 1 if form == "yolox" else 0  # the first channel is blue there
    level = 0.4 if form == "yolox" else 0.8
    np.testing.assert_allclose(found[bright, 0], (*drawn.BOX, level, drawn.CLASS), rtol=1e-5)
    assert found[1 - bright, :, 4].max() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("draw", "metadata", "form"), FORMS)
def test_the_graph_and_numpy_decode_alike(tmp_path: Path, draw: Draw, metadata: dict[str, str], form: str) -> None:
    base, scored = draw()
    noise = np.random.default_rng(3).uniform(0, 1, base.shape).astype(np.float32)
    detector = inspected(drawn.save(tmp_path / "my.onnx", (noise, scored), metadata), "my", LABELS, form)
    images = red_and_blue(90, 200)
    model = run_onnx(detector.build([], {}).SerializeToString(), images)
    reference, _ = detector.references([], images)
    ours, theirs = (detector.aligned(outputs, reference) for outputs in (model, reference))
    np.testing.assert_allclose(ours["boxes"], theirs["boxes"], atol=1e-4)
    np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=1e-5)


def test_labels_come_from_the_metadata_where_none_are_given(tmp_path: Path) -> None:
    path = drawn.save(tmp_path / "my.onnx", drawn.yolov8(), ULTRALYTICS)
    assert inspected(path, "my", (), None).labels == LABELS


@pytest.mark.parametrize("labels", [(), ("car", "plate")])
def test_labels_that_do_not_fit_are_refused(tmp_path: Path, labels: tuple[str, ...]) -> None:
    path = drawn.save(tmp_path / "my.onnx", drawn.yolov8())
    with pytest.raises(TranslationError, match=r"my\.onnx tells 3 classes apart, and (no|2) labels are given"):
        inspected(path, "my", labels, None)


def test_an_output_of_no_known_form_is_named_with_the_known_ones(tmp_path: Path) -> None:
    odd = np.zeros((2, 1, 5, 7), np.float32)
    path = drawn.save(tmp_path / "my.onnx", (odd[0], odd[1]))
    with pytest.raises(TranslationError, match=r"shape \(1, 5, 7\) for an input of 64×64 is of no known form; known: "):
        inspected(path, "my", LABELS, None)
    with pytest.raises(UnknownNameError, match="unknown name: yolo9000; known names: yolov8"):
        inspected(path, "my", LABELS, "yolo9000")


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(TranslationError, match=r"my\.onnx is not an ONNX model that can be used"):
        inspected(path, "my", LABELS, None)


def test_sides_that_are_free_are_refused(tmp_path: Path) -> None:
    path = drawn.save(tmp_path / "my.onnx", drawn.yolov8())
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    onnx.save(model, path)
    with pytest.raises(TranslationError, match="with height and width fixed"):
        inspected(path, "my", LABELS, None)
