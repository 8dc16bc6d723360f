from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from exporters.detectors.adding import AddedDetector, inspected
from exporters.errors import TranslationError, UnknownNameError
from exporters.recipe import run_onnx
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


def test_a_file_that_is_not_a_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "my.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(TranslationError, match=r"my\.onnx is not an ONNX model that can be used"):
        inspected(path, "my", LABELS, None)


def renamed(path: Path, names: dict[str, str]) -> Path:
    """The file with other names of tensors."""
    model = onnx.load(path)
    for place in (*model.graph.input, *model.graph.output):
        place.name = names.get(place.name, place.name)
    for node in model.graph.node:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(name, name) for name in tensors]
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("names", [{"images": "image"}, {"output0": "detections"}, {"images": "image/transpose_0"}])
def test_an_onnx_file_may_use_the_names_that_we_use(tmp_path: Path, names: dict[str, str]) -> None:
    path = renamed(drawn.save(tmp_path / "my.onnx", drawn.yolov8()), names)
    found = answers(inspected(path, "my", LABELS, None), red_and_blue(204, 102))
    np.testing.assert_allclose(found[0, 0], (*drawn.BOX, 0.8, drawn.CLASS), rtol=1e-5)


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "my.company"
    model.opset_import.append(onnx.helper.make_opsetid("my.company", 1))


def no_output(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def one_image_within(model: onnx.ModelProto) -> None:
    """Any number of images by its input, one by its operators."""
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "N"
    shape = next(weight for weight in model.graph.initializer if weight.name == "shape")
    shape.CopyFrom(onnx.numpy_helper.from_array(np.array([1, 1, 1]), "shape"))


@pytest.mark.parametrize("spoil", [unknown_operator, no_output, one_image_within])
def test_a_model_that_cannot_be_run_is_refused(tmp_path: Path, spoil: Callable[[onnx.ModelProto], None]) -> None:
    path = drawn.save(tmp_path / "my.onnx", drawn.yolov8())
    spoil(model := onnx.load(path))
    onnx.save(model, path)
    with pytest.raises(TranslationError, match="onnxruntime cannot run this model"):
        answers(inspected(path, "my", LABELS, None), red_and_blue(1, 2))


def outside(model: onnx.ModelProto) -> None:
    """Weights in a file above that of the model."""
    weight = next(weight for weight in model.graph.initializer if weight.name == "base")
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../weights")


def sides(height: int, images: int = 1) -> Callable[[onnx.ModelProto], None]:
    def changed(model: onnx.ModelProto) -> None:
        dimensions = model.graph.input[0].type.tensor_type.shape.dim
        dimensions[0].dim_value, dimensions[2].dim_value = images, height

    return changed


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (outside, "points outside the directory"),
        (sides(-64), "must have one input"),
        (sides(2_000_000), "at most 4096"),
        (sides(64, images=4), "must have one input"),
    ],
)
def test_a_file_that_asks_for_too_much_is_refused(
    tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], message: str
) -> None:
    (tmp_path / "weights").write_bytes(bytes(7 * drawn.CELLS * 4))
    (tmp_path / "in").mkdir()
    path = drawn.save(tmp_path / "in" / "my.onnx", drawn.yolov8())
    spoil(model := onnx.load(path))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(TranslationError, match=message):
        inspected(path, "my", LABELS, None)


def test_a_form_that_does_not_fit_the_output_is_refused(tmp_path: Path) -> None:
    path = drawn.save(tmp_path / "my.onnx", drawn.yolov8())
    with pytest.raises(TranslationError, match="cannot be of the form rows"):
        inspected(path, "my", LABELS, "rows")


def test_sides_that_are_free_are_refused(tmp_path: Path) -> None:
    path = drawn.save(tmp_path / "my.onnx", drawn.yolov8())
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "H"
    onnx.save(model, path)
    with pytest.raises(TranslationError, match="with height and width fixed"):
        inspected(path, "my", LABELS, None)
