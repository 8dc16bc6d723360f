from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from deploy.embedded.triton import ENSEMBLES
from steps.model_config import ModelConfig

OURS = {"faces": "centerface", "objects": "centernet"}
LOOKING = ("detect_lite", "privacy_blur_lite")
FACES_ALONE = ("detect_faces_lite", "privacy_blur_faces_lite")


def steps(ensemble: str, models: dict[str, str], folder: Path) -> dict[str, tuple[set[str], set[str]]]:
    """The inputs and outputs of each step by its model, of an ensemble with these detectors."""
    (folder / "config.pbtxt").write_text(ModelConfig(ENSEMBLES / ensemble).with_detectors(models))
    return {name: (set(inputs.values()), set(outputs.values())) for name, inputs, outputs in ModelConfig(folder).steps}


@pytest.mark.parametrize("ensemble", sorted(folder.name for folder in ENSEMBLES.iterdir()))
def test_with_our_detectors_an_ensemble_is_as_it_is_committed(ensemble: str) -> None:
    config = ModelConfig(ENSEMBLES / ensemble)
    assert config.with_detectors(OURS) == text_format.MessageToString(config._config)


@pytest.mark.parametrize("ensemble", [*LOOKING, *FACES_ALONE])
def test_a_users_detector_takes_the_place_of_ours(ensemble: str, tmp_path: Path) -> None:
    found = steps(ensemble, {**OURS, "faces": "mine"}, tmp_path)
    assert found["mine"] == ({"faces_image"}, {"faces_rows"})
    assert "centerface" not in found


@pytest.mark.parametrize("ensemble", LOOKING)
def test_one_for_plates_joins_those_of_objects(ensemble: str, tmp_path: Path) -> None:
    first, *middle, last = (found := steps(ensemble, {**OURS, "plates": "mine"}, tmp_path))
    assert middle == ["centerface", "centernet", "mine"]
    assert found["mine"] == ({"plates_image"}, {"plates_rows"})
    assert "plates_image" in found[first][1]
    assert "plates_rows" in found[last][0]


@pytest.mark.parametrize("ensemble", FACES_ALONE)
def test_where_faces_alone_are_asked_for_nothing_looks_for_plates(ensemble: str, tmp_path: Path) -> None:
    assert "mine" not in steps(ensemble, {**OURS, "plates": "mine"}, tmp_path)


@pytest.mark.parametrize("ensemble", LOOKING)
def test_without_a_detector_of_objects_the_rest_is_still_looked_for(ensemble: str, tmp_path: Path) -> None:
    first, middle, last = (found := steps(ensemble, {"faces": "centerface"}, tmp_path))
    assert middle == "centerface"
    assert found[first][1] == {"faces_image", "photo_context"}
    assert "objects_rows" not in found[last][0]


def test_without_any_detector_the_ensemble_still_names_ours(tmp_path: Path) -> None:
    assert {"centerface", "centernet"} <= steps("detect_lite", {}, tmp_path).keys()


def test_a_repeated_choice_changes_nothing(tmp_path: Path) -> None:
    once = ModelConfig(ENSEMBLES / "detect_lite").with_detectors({**OURS, "plates": "mine"})
    (tmp_path / "config.pbtxt").write_text(once)
    assert ModelConfig(tmp_path).with_detectors({**OURS, "plates": "mine"}) == once
    assert text_format.Parse(once, model_config_pb2.ModelConfig()).platform == "ensemble"
