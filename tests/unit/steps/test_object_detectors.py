import json
from pathlib import Path

import pytest

from exporters.detectors.adding import use_detector
from exporters.errors import ExporterError, UnknownNameError
from steps.networks import IN_USE
from steps.object_detectors import chosen_detectors, detectors_of, networks_of
from tests.unit.steps.detector_folders import MODEL, add_detector


def chosen(repository: Path) -> dict[str, str]:
    return {role: detector.model for role, detector in chosen_detectors(repository).items()}


def test_a_detector_that_a_user_added_is_chosen_before_ours(tmp_path: Path) -> None:
    add_detector(tmp_path, "zealous", "faces", added=False)
    add_detector(tmp_path, "mine", "faces")
    assert chosen(tmp_path) == {"faces": "mine"}


def test_the_first_of_several_by_name_is_chosen(tmp_path: Path) -> None:
    for name in ("plates_2", "plates_3", "plates_1"):
        add_detector(tmp_path, name, "plates")
    assert chosen(tmp_path) == {"plates": "plates_1"}


@pytest.mark.parametrize("added", [False, True])
def test_the_one_in_use_is_chosen_before_all_others(tmp_path: Path, *, added: bool) -> None:
    for name in ("faces_1", "faces_2", "faces_3"):
        add_detector(tmp_path, name, "faces", added=added)
    add_detector(tmp_path, "plates_1", "plates")
    use_detector("faces_3", tmp_path)
    use_detector("faces_2", tmp_path)
    use_detector("plates_1", tmp_path)
    assert chosen(tmp_path) == {"faces": "faces_2", "plates": "plates_1"}


def test_only_a_built_detector_can_be_used(tmp_path: Path) -> None:
    add_detector(tmp_path, "ours", "faces", added=False)
    add_detector(tmp_path, "unbuilt", "faces", added=False, ready=False)
    add_detector(tmp_path, "mine", "faces", ready=False)
    with pytest.raises(UnknownNameError, match="unknown name: others; known names: mine, ours, unbuilt"):
        use_detector("others", tmp_path)
    with pytest.raises(ExporterError, match="maskwright models export unbuilt"):
        use_detector("unbuilt", tmp_path)
    with pytest.raises(ExporterError, match=f"remove {tmp_path / 'mine'}, then add it again"):
        use_detector("mine", tmp_path)
    assert chosen(tmp_path) == {"faces": "ours"}


def test_a_detector_whose_model_is_missing_is_not_chosen(tmp_path: Path) -> None:
    add_detector(tmp_path, "ours", "faces", added=False)
    add_detector(tmp_path, "mine", "faces", ready=False)
    add_detector(tmp_path, "objects", "objects", ready=False)
    assert chosen(tmp_path) == {"faces": "ours"}


GOOD = {"role": "faces", "labels": ["face"], "fit": "stretch", "size": [64, 64], "iou": 0.5}


def described(value: object) -> bytes:
    text = json.dumps(value if isinstance(value, str) else json.dumps(value))
    return f'parameters {{ key: "detector" value {{ string_value: {text} }} }}'.encode()


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        (b'backend: "onnx', "config.pbtxt: 1:10"),
        (b"\xff\xfe", "config.pbtxt: it is not UTF-8 text"),
        (None, "config.pbtxt: Is a directory"),
        (described("{"), "the parameter detector: Expecting property name"),
        (described("[" * 10**5), "the parameter detector: "),
        (described([]), "the parameter detector: "),
        (described("null"), "the parameter detector: "),
        (described({}), "'size' is missing"),
        (described({**GOOD, "role": "hats"}), "role is one of faces, plates, objects"),
        (described({**GOOD, "labels": [1]}), "labels are texts"),
        (described({**GOOD, "labels": []}), "labels are texts"),
        (described({**GOOD, "fit": "wide"}), "'wide' is not a valid Fit"),
        (described({**GOOD, "size": [64]}), "not enough values"),
        (described({**GOOD, "size": [0, 64]}), "whole numbers of pixels"),
        (described({**GOOD, "size": "64x64"}), "whole numbers of pixels"),
        (described({**GOOD, "multiple": 0.5}), "whole numbers of pixels"),
        (described({**GOOD, "iou": "0.5"}), "iou is a number"),
        (described({**GOOD, "iou": float("nan")}), "iou is a number"),
        (described({**GOOD, "halvings": -1}), "halvings is a whole number"),
        (described({**GOOD, "scout": {"model": "../ours", "score": 0.1}}), "scout has the name"),
        (described({**GOOD, "scout": {"score": 0.1}}), "'model' is missing"),
        (described({**GOOD, "scout": 7}), "the parameter detector: "),
    ],
)
def test_a_description_that_cannot_be_read_is_named_and_the_others_are_used(
    tmp_path: Path, config: bytes | None, fault: str
) -> None:
    add_detector(tmp_path, "ours", "faces", added=False)
    add_detector(tmp_path, "mine", "faces")
    (tmp_path / "mine" / IN_USE).touch()
    path = tmp_path / "mine" / "config.pbtxt"
    path.unlink()
    path.mkdir() if config is None else path.write_bytes(config)
    found = detectors_of(tmp_path)
    assert chosen(tmp_path) == {"faces": "ours"}
    assert networks_of(tmp_path) == ["ours"]
    assert list(found.broken) == ["mine"]
    assert str(path) in found.broken["mine"]
    assert fault in found.broken["mine"]


@pytest.mark.parametrize("content", [b"", MODEL[:-1], b"<html>", None])
def test_an_incomplete_model_is_named_and_the_others_are_used(tmp_path: Path, content: bytes | None) -> None:
    add_detector(tmp_path, "ours", "faces", added=False)
    add_detector(tmp_path, "mine", "faces")
    path = tmp_path / "mine" / "1" / "model.onnx"
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    assert chosen(tmp_path) == {"faces": "ours"}
    assert detectors_of(tmp_path).broken["mine"].startswith(f"{path}: ")
