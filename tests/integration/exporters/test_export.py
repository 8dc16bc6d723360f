import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from exporters import parity
from exporters.catalogue import DEFAULT_PATHS, Paths, load
from exporters.errors import ParityError
from exporters.export import ModelState, export_models, model_state
from exporters.fetch import State, state
from exporters.recipes import RECIPES
from exporters.tflite.translate import TfliteRecipe

CATALOGUE = load(DEFAULT_PATHS.catalogue)
BY_NAME = {recipe.name: recipe for recipe in RECIPES}


def _ready(name: str) -> bool:
    (entry,) = CATALOGUE.select([name])
    return state(entry, DEFAULT_PATHS.files) is State.READY


photos_ready = all(_ready(entry.name) for entry in CATALOGUE.file if entry.kind == "photo")
pytestmark = pytest.mark.skipif(not photos_ready, reason="the sample photos are not fetched")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    """The first test that needs a model makes it here; no test changes one."""
    return replace(DEFAULT_PATHS, model_repository=tmp_path_factory.mktemp("exported"))


@pytest.fixture
def paths(exported: Paths, tmp_path: Path) -> Paths:
    """A copy of the exported pose_detection, which a test may change."""
    export_models(["pose_detection"], paths=exported)
    shutil.copytree(exported.model_repository / "pose_detection", tmp_path / "pose_detection")
    return replace(DEFAULT_PATHS, model_repository=tmp_path)


OUTPUTS = {
    "pose_detection": ["boxes", "scores"],
    "pose_landmark_full": ["landmarks", "presence", "mask", "heatmap"],
    "face_detection_short_range": ["boxes", "scores"],
    "face_detection_full_range": ["boxes", "scores"],
    "face_landmark": ["landmarks", "presence"],
    "centerface": ["boxes", "scores"],
    "centerface_int8": ["boxes", "scores"],
    "clpr_plates": ["boxes", "scores", "corners"],
    "centernet": ["boxes", "scores"],
}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_model_differs_from_its_checkpoint_no_more_than_two_runs_of_it_do(exported: Paths, name: str) -> None:
    if not all(map(_ready, BY_NAME[name].checkpoints)):
        pytest.skip("the checkpoint is not fetched")
    (written,) = export_models([name], paths=exported)
    assert {output.name: output.verdict for output in written.outputs if output.verdict == "failed"} == {}
    assert [output.name for output in written.outputs] == OUTPUTS[name]
    assert all(output.checkpoint.mean <= output.bar for output in written.outputs)
    assert export_models([name], paths=exported) == [written]
    assert json.loads(exported.parity(name).read_text())["model"] == name


SHAPES = {
    "pose_detection": {"image": ["N", 224, 224, 3], "boxes": ["N", 2254, 12], "scores": ["N", 2254, 1]},
    "pose_landmark_full": {
        "image": ["N", 256, 256, 3],
        "landmarks": ["N", 195],
        "presence": ["N", 1],
        "mask": ["N", 256, 256, 1],
        "heatmap": ["N", 64, 64, 39],
    },
    "face_detection_short_range": {"image": ["N", 128, 128, 3], "boxes": ["N", 896, 16], "scores": ["N", 896, 1]},
    "face_detection_full_range": {"image": ["N", 192, 192, 3], "boxes": ["N", 2304, 16], "scores": ["N", 2304, 1]},
    "face_landmark": {"image": ["N", 192, 192, 3], "landmarks": ["N", 1404], "presence": ["N", 1]},
    "centerface": {"image": ["N", "H", "W", 3], "detections": ["N", "K", 6]},
    "centerface_int8": {"image": ["N", "H", "W", 3], "detections": ["N", "K", 6]},
    "clpr_plates": {"image": ["N", "H", "W", 3], "detections": ["N", "K", 14]},
    "centernet": {"image": ["N", 512, 512, 3], "detections": ["N", 100, 6]},
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_model_has_the_inputs_and_outputs_the_repository_expects(exported: Paths, name: str) -> None:
    if not all(map(_ready, BY_NAME[name].checkpoints)):
        pytest.skip("the checkpoint is not fetched")
    export_models([name], paths=exported)
    graph = onnx.load(exported.model(name)).graph
    tensors = [*graph.input, *graph.output]
    shapes = {t.name: [d.dim_param or d.dim_value for d in t.type.tensor_type.shape.dim] for t in tensors}
    assert shapes == SHAPES[name]


@pytest.mark.skipif(not _ready("pose_detection.tflite"), reason="the checkpoint is not fetched")
class TestPoseDetection:
    recipe = BY_NAME["pose_detection"]

    def test_a_second_export_leaves_the_model_alone(self, paths: Paths) -> None:
        first = export_models([self.recipe.name], paths=paths)
        before = paths.model(self.recipe.name).stat().st_mtime_ns
        assert export_models([self.recipe.name], paths=paths) == first
        assert paths.model(self.recipe.name).stat().st_mtime_ns == before

    def test_a_damaged_model_is_found_and_built_again(self, paths: Paths) -> None:
        export_models([self.recipe.name], paths=paths)
        with paths.model(self.recipe.name).open("ab") as model:
            model.write(b"x")
        assert model_state(self.recipe, CATALOGUE, paths) is ModelState.CORRUPT
        export_models([self.recipe.name], paths=paths)
        assert model_state(self.recipe, CATALOGUE, paths) is ModelState.READY

    def test_a_model_built_by_other_code_is_stale(self, paths: Paths) -> None:
        (written,) = export_models([self.recipe.name], paths=paths)
        other = written.model_copy(update={"exporter": "other"})
        paths.parity(self.recipe.name).write_text(other.model_dump_json())
        assert model_state(self.recipe, CATALOGUE, paths) is ModelState.STALE

    def test_a_model_above_the_parity_bar_fails_and_is_removed(
        self, paths: Paths, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        export_models([self.recipe.name], paths=paths)
        paths.parity(self.recipe.name).unlink()
        monkeypatch.setattr(TfliteRecipe, "bar", 0.0)
        monkeypatch.setattr(parity, "SPREAD_FACTOR", 0.0)
        with pytest.raises(ParityError, match="pose_detection differs"):
            export_models([self.recipe.name], paths=paths)
        assert not paths.model(self.recipe.name).exists()
        assert not paths.parity(self.recipe.name).exists()
