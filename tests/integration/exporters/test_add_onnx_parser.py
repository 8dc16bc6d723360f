"""Parsers that others exported to ONNX get our inputs and outputs. No torch is needed for them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from typer.testing import CliRunner

from exporters import commands
from exporters.catalogue import DEFAULT_PATHS, Paths, load
from exporters.choice import WHEN_IT_SERVES
from exporters.fetch import State, state
from exporters.networks.adding import when_it_serves
from exporters.networks.known import Kind
from exporters.networks.onnx_parser import best_labels, read_onnx_parser
from exporters.parity import read_report
from steps.model_folder import ModelConfig
from steps.onnx_session import OnnxSession, SessionOptions
from tests.unit.exporters.networks import drawn_onnx

pytestmark = pytest.mark.skipif(
    any(
        state(one, DEFAULT_PATHS.files) is not State.READY
        for one in load(DEFAULT_PATHS.catalogue).file
        if one.kind == "photo"
    ),
    reason="the sample photos are not fetched",
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return replace(DEFAULT_PATHS, model_repository=tmp_path / "model_repository")


def add(paths: Paths, file: Path) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(commands, "DEFAULT_PATHS", paths)
        result = CliRunner().invoke(commands.app, ["add", "parser", str(file)])
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("classes", "side", "outputs", "images", "name"),
    [
        (18, 512, drawn_onnx.OUTPUTS, 1, "schp_atr"),
        (20, 473, drawn_onnx.OUTPUTS, 1, "schp_lip"),
        (7, 512, ("fusion",), "batch", "schp_pascal"),
    ],
)
def test_a_parser_gets_pixels_in_and_labels_out(
    paths: Paths, tmp_path: Path, classes: int, side: int, outputs: tuple[str, ...], images: int | str, name: str
) -> None:
    file = drawn_onnx.save(tmp_path / "parsing.onnx", drawn_onnx.parser(classes, side, outputs=outputs, images=images))
    add(paths, file)
    image = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    answer = OnnxSession(paths.model(name), SessionOptions(1))({"image": image})
    # as their code prepares it: blue first, then ImageNet's mean and deviation in that order
    pixels = (image[..., ::-1] / 255 - (0.406, 0.456, 0.485)) / (0.225, 0.224, 0.229)
    theirs = onnxruntime.InferenceSession(file)
    fused = [
        theirs.run(["fusion"], {"input.1": one[np.newaxis].transpose(0, 3, 1, 2).astype(np.float32)})[0]
        for one in pixels
    ]
    np.testing.assert_allclose(answer["logits"], np.concatenate(fused), atol=1e-4)
    assert np.mean(answer["labels"] == best_labels(np.concatenate(fused), side)) > 0.9999
    assert ModelConfig(paths.model_repository / name).max_batch_size > 1
    report = read_report(paths.parity(name))
    assert report is not None
    assert {output.verdict for output in report.outputs} == {"within bar"}


def test_what_only_the_other_outputs_need_is_left_out(tmp_path: Path) -> None:
    file = drawn_onnx.save(tmp_path / "parsing.onnx", drawn_onnx.parser())
    built = read_onnx_parser(file).build([], {})
    kept = {weight.name.removeprefix("network/") for weight in built.graph.initializer}
    assert kept.issuperset({"fusion.weight", "fusion.bias"})
    assert kept.isdisjoint({"parsing.weight", "parsing.bias", "edge.weight", "edge.bias"})


def one_image_within(built: onnx.ModelProto) -> None:
    """A sum over all images, which cannot be taken apart."""
    built.graph.node.append(onnx.helper.make_node("ReduceMean", ["fusion"], ["mean"], axes=[0], keepdims=1))
    built.graph.node.append(onnx.helper.make_node("Sub", ["fusion", "mean"], ["rest"]))
    built.graph.node.append(onnx.helper.make_node("Add", ["fusion", "rest"], ["whole"]))
    built.graph.output[1].name = "whole"


def renamed_domain(built: onnx.ModelProto) -> None:
    built.opset_import[0].domain = "ai.onnx"
    built.graph.node[0].domain = "ai.onnx"


def to_come(built: onnx.ModelProto) -> None:
    """As exporters of today write."""
    built.CopyFrom(onnx.version_converter.convert_version(built, 24))
    built.ir_version = 11


@pytest.mark.parametrize("change", [renamed_domain, to_come])
def test_what_newer_exporters_write_loads_where_the_server_is_older(
    paths: Paths, tmp_path: Path, change: Callable[[onnx.ModelProto], None]
) -> None:
    """NVIDIA's 24.10 container, with onnxruntime 1.19, loads operator sets up to 21 and IR up to 10."""
    change(built := drawn_onnx.parser(images="batch"))
    add(paths, drawn_onnx.save(tmp_path / "parsing.onnx", built))
    model = onnx.load(paths.model("schp_atr"))
    assert model.ir_version <= 10
    assert [(one.domain, one.version <= 21) for one in model.opset_import] == [("", True)]


def test_weights_may_lie_in_a_file_beside_the_model(paths: Paths, tmp_path: Path) -> None:
    """torch's exporter writes two files since 2.9."""
    file = tmp_path / "parsing.onnx"
    onnx.save_model(
        drawn_onnx.parser(), file, save_as_external_data=True, location="parsing.onnx.data", size_threshold=0
    )
    add(paths, file)
    assert all(not weight.external_data for weight in onnx.load(paths.model("schp_atr")).graph.initializer)


def test_a_graph_that_mixes_images_keeps_to_one(paths: Paths, tmp_path: Path) -> None:
    one_image_within(built := drawn_onnx.parser())
    add(paths, drawn_onnx.save(tmp_path / "parsing.onnx", built))
    assert ModelConfig(paths.model_repository / "schp_atr").max_batch_size == 0
    answer = OnnxSession(paths.model("schp_atr"), SessionOptions(1))({"image": np.zeros((1, 512, 512, 3), np.uint8)})
    assert answer["labels"].shape == (1, 512, 512)


def test_a_new_file_takes_the_place_of_the_old_and_a_wrong_one_does_not(paths: Paths, tmp_path: Path) -> None:
    for shade in (1, 2):
        built = drawn_onnx.parser()
        built.doc_string = f"file {shade}"
        add(paths, drawn_onnx.save(tmp_path / "parsing.onnx", built))
    before = paths.parity("schp_atr").read_bytes()
    drawn_onnx.save(tmp_path / "parsing.onnx", drawn_onnx.parser(classes=19))
    with pytest.raises(AssertionError, match="where parsers have"):
        add(paths, tmp_path / "parsing.onnx")
    assert paths.parity("schp_atr").read_bytes() == before
    assert sorted(path.name for path in paths.model_repository.iterdir()) == [".building", "schp_atr"]


def test_a_pose_network_alone_does_not_promise_to_serve(paths: Paths, tmp_path: Path) -> None:
    assert when_it_serves(Kind.POSE, paths) == "it serves beside a parser: `maskwright models add parser FILE`"
    add(paths, drawn_onnx.save(tmp_path / "parsing.onnx", drawn_onnx.parser()))
    assert when_it_serves(Kind.POSE, paths) == WHEN_IT_SERVES


def test_labels_are_enlarged_with_aligned_corners() -> None:
    logits = np.zeros((1, 2, 2, 2), np.float32)
    logits[0, 1] = [[-1, 3], [-1, 3]]
    # 0 at a quarter of the way from the first column to the last
    assert best_labels(logits, 9)[0, 0].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1]
