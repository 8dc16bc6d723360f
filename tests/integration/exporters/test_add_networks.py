"""Checkpoints of the public networks become models that answer as the recorded originals."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from typer.testing import CliRunner

from exporters import commands
from exporters.catalogue import DEFAULT_PATHS, Paths, load
from exporters.errors import WrongFileError
from exporters.fetch import State, state
from exporters.networks.known import FACE_PARSER, PARSERS, POSE, Network
from exporters.parity import read_report
from exporters.weights.container import contents
from steps.onnx_session import OnnxSession, SessionOptions
from tests.unit.exporters.networks import drawn

pytest.importorskip("onnxscript", reason="onnxscript is not installed")
torch = pytest.importorskip("torch", reason="torch is not installed")

from exporters.networks.checkpoint import read_checkpoint  # noqa: E402 - these need torch
from tests.unit.exporters.networks import plain  # noqa: E402

CHECKPOINTS = drawn.SHARED / "checkpoints"
PASCAL = CHECKPOINTS / "schp_pascal"
PHOTOS = [entry for entry in load(DEFAULT_PATHS.catalogue).file if entry.kind == "photo"]
pytestmark = [
    pytest.mark.skipif(not CHECKPOINTS.is_dir(), reason=f"{CHECKPOINTS} is not here"),
    pytest.mark.skipif(
        any(state(entry, DEFAULT_PATHS.files) is not State.READY for entry in PHOTOS),
        reason="the sample photos are not fetched",
    ),
]
TYPES = {model_config_pb2.TYPE_UINT8: onnx.TensorProto.UINT8, model_config_pb2.TYPE_FP32: onnx.TensorProto.FLOAT}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    return replace(DEFAULT_PATHS, model_repository=tmp_path_factory.mktemp("model_repository"))


def add(paths: Paths, kind: str, file: Path) -> str:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commands, "DEFAULT_PATHS", paths)
        result = CliRunner().invoke(commands.app, ["add", kind, str(file)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def pascal(paths: Paths, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """The recorded checkpoint, as a model."""
    file = tmp_path_factory.mktemp("checkpoint") / "pascal.pth"
    command = [sys.executable, str(CHECKPOINTS / "make_checkpoint.py"), "schp_pascal", str(file)]
    subprocess.run(command, check=True)
    add(paths, "parser", file)
    file.unlink()
    return PARSERS[2]


@pytest.fixture(scope="module")
def face(paths: Paths, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Random weights."""
    file = drawn.legacy(tmp_path_factory.mktemp("checkpoint") / "79999_iter.pth", drawn.weights("bisenet_face"))
    add(paths, "face-parser", file)
    return FACE_PARSER


@pytest.fixture(scope="module")
def pose(paths: Paths, tmp_path_factory: pytest.TempPathFactory) -> Network:
    """Random weights."""
    file = tmp_path_factory.mktemp("checkpoint") / "body_pose_model.pth"
    add(paths, "pose", drawn.zipped(file, drawn.weights("openpose_body")))
    file.unlink()
    return POSE


def session(paths: Paths, network: Network) -> OnnxSession:
    return OnnxSession(paths.model(network.model), SessionOptions(1, allow_spinning=False))


def test_a_schp_checkpoint_answers_as_the_original(paths: Paths, pascal: Network) -> None:
    photo = cv2.imread(str(PASCAL / "image.png"))
    assert photo is not None
    scale = (512 - 1) / (max(photo.shape) - 1)
    affine = np.array([[scale, 0, 0], [0, scale, 0]])
    warped = cv2.warpAffine(photo, affine, (512, 512), flags=cv2.INTER_LINEAR)
    answer = session(paths, pascal)({"image": warped[np.newaxis, ..., ::-1]})
    gap = np.abs(answer["logits"] - np.load(PASCAL / "output_fusion.npy"))
    assert gap.max() <= 5e-3
    assert gap.mean() <= 5e-4
    assert np.mean(answer["labels"][0] == np.load(PASCAL / "output_argmax_input.npy")) >= 0.999
    assert answer["labels"].dtype == np.uint8


def test_the_parity_report_lies_beside_the_model(paths: Paths, pascal: Network) -> None:
    report = read_report(paths.parity(pascal.model))
    assert report is not None
    assert [output.name for output in report.outputs] == ["labels", "logits"]
    assert all(output.verdict == "within bar" and output.bar == 1e-3 for output in report.outputs)
    assert report.inputs == tuple(f"{photo.name}: letterbox" for photo in PHOTOS)


def test_the_configurations_are_those_of_the_graphs(
    paths: Paths, pascal: Network, face: Network, pose: Network
) -> None:
    for network in (pascal, face, pose):
        config = model_config_pb2.ModelConfig()
        text_format.Parse((paths.model_repository / network.model / "config.pbtxt").read_text(), config)
        graph = onnx.load(paths.model(network.model)).graph
        for told, values in ((config.input, graph.input), (config.output, graph.output)):
            assert [(one.name, TYPES[one.data_type], [-1, *one.dims]) for one in told] == [
                (value.name, value.type.tensor_type.elem_type, sizes(value)) for value in values
            ]


def sizes(value: onnx.ValueInfoProto) -> list[int]:
    return [size.dim_value or -1 for size in value.type.tensor_type.shape.dim]


def tensors(network: str) -> "dict[str, torch.Tensor]":
    return {key: torch.from_numpy(value.astype(np.float64)) for key, value in drawn.weights(network).items()}


def test_a_face_parser_labels_what_torch_labels(paths: Paths, face: Network) -> None:
    """In float64, where torch's rounding plays no part."""
    image = np.random.default_rng(1).integers(0, 256, (2, 512, 512, 3), np.uint8)
    pixels = FACE_PARSER.pixels.apply(image).astype(np.float64)
    with torch.inference_mode():
        logits = plain.bisenet(tensors("bisenet_face"), torch.from_numpy(pixels))
        enlarged = torch.nn.functional.interpolate(logits, size=(512, 512), mode="bilinear", align_corners=True)
    answer = session(paths, face)({"image": image})
    np.testing.assert_allclose(answer["logits"], logits.numpy(), atol=1e-3 * float(logits.std()))
    assert np.mean(answer["labels"] == enlarged.argmax(dim=1).numpy()) >= 0.9995


def test_a_pose_network_takes_images_of_any_multiple_of_8(paths: Paths, pose: Network) -> None:
    image = np.random.default_rng(1).integers(0, 256, (2, 48, 96, 3), np.uint8)
    # as the original has it: blue first, x / 256 - 0.5
    pixels = torch.from_numpy(image[..., ::-1].transpose(0, 3, 1, 2).astype(np.float64) / 256 - 0.5)
    with torch.inference_mode():
        heatmaps, fields = (
            maps.permute(0, 2, 3, 1).numpy() for maps in plain.openpose(tensors("openpose_body"), pixels)
        )
    answer = session(paths, pose)({"image": image})
    assert answer["heatmap"].shape == (2, 6, 12, 19)
    assert answer["heatmap"].min() == 0 > answer["paf"].min()
    np.testing.assert_allclose(answer["heatmap"], heatmaps, atol=1e-3 * heatmaps.std())
    np.testing.assert_allclose(answer["paf"], fields, atol=1e-3 * fields.std())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ffm.conv1.weight": None}, "1 missing: ffm.conv1.weight"),
        ({"sp.conv1.weight": np.zeros(3, np.float32)}, "1 not of this network: sp.conv1.weight"),
        (
            {"ffm.conv1.weight": np.zeros((64, 256), np.float32)},
            "1 of another shape or type: ffm.conv1.weight [64, 256]",
        ),
        ({"cp.resnet.bn1.bias": np.zeros(64, np.int64)}, "1 of another shape or type: cp.resnet.bn1.bias [64] int64"),
        ({"cp.resnet.bn1.bias": np.full(64, np.nan, np.float32)}, "values that are not numbers, in cp.resnet.bn1.bias"),
    ],
)
def test_weights_that_do_not_fit_are_named(tmp_path: Path, change: dict[str, np.ndarray | None], told: str) -> None:
    changed = {**drawn.weights("bisenet_face"), **change}
    file = drawn.legacy(tmp_path / "my.pth", {key: value for key, value in changed.items() if value is not None})
    with pytest.raises(WrongFileError) as raised:
        read_checkpoint(file, contents(file), FACE_PARSER)
    assert told in str(raised.value)


def test_half_precision_and_a_prefix_change_nothing(tmp_path: Path) -> None:
    halves = {
        key: value.astype(np.float16) if value.ndim else value for key, value in drawn.weights("bisenet_face").items()
    }
    file = drawn.zipped(tmp_path / "my.pth", {f"module.{key}": value for key, value in halves.items()}, wrapped=True)
    recipe = read_checkpoint(file, contents(file), FACE_PARSER)
    assert {tensor.dtype for tensor in recipe.module.state_dict().values()} == {torch.float32, torch.int64}


def saved_parameters(path: Path, weights: "dict[str, torch.Tensor]") -> None:
    trained = {key: torch.nn.Parameter(one) if one.is_floating_point() else one for key, one in weights.items()}
    torch.save({"epoch": 3, "net": {"state_dict": trained}}, path)


def stored_without_counters(path: Path, weights: "dict[str, torch.Tensor]") -> None:
    drawn.stored(path, {key: one.numpy() for key, one in weights.items() if "num_batches" not in key})


@pytest.mark.parametrize("write", [saved_parameters, stored_without_counters])
def test_weights_are_the_same_in_whatever_form_they_come(
    tmp_path: Path, write: "Callable[[Path, dict[str, torch.Tensor]], None]"
) -> None:
    weights = {key: torch.tensor(one) for key, one in drawn.weights("bisenet_face").items()}
    write(file := tmp_path / "my.pth", weights)
    network = read_checkpoint(file, contents(file), FACE_PARSER).module.network
    # torch exports no network whose statistics are trained
    assert not any("running" in key for key, _ in network.named_parameters())
    assert all(torch.equal(one, weights[key]) for key, one in network.state_dict().items() if "num_batches" not in key)
