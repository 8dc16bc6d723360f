from pathlib import Path

import pytest

from exporters.detectors.choosing import use_detector
from exporters.errors import ExporterError, UnknownNameError
from steps.object_detectors import chosen_detectors
from tests.unit.steps.detector_folders import add_detector


def chosen(repository: Path) -> dict[str, str]:
    return {role: detector.model for role, detector in chosen_detectors(repository).items()}


def test_a_detector_that_a_user_added_is_chosen_before_ours(tmp_path: Path) -> None:
    add_detector(tmp_path, "zealous", "faces", added=False)
    add_detector(tmp_path, "mine", "faces")
    assert chosen(tmp_path) == {"faces": "mine"}


def test_of_several_the_first_by_name_is_chosen(tmp_path: Path) -> None:
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


def test_what_is_no_detector_or_not_built_cannot_be_used(tmp_path: Path) -> None:
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


def test_one_whose_model_is_missing_is_not_chosen(tmp_path: Path) -> None:
    add_detector(tmp_path, "ours", "faces", added=False)
    add_detector(tmp_path, "mine", "faces", ready=False)
    add_detector(tmp_path, "objects", "objects", ready=False)
    assert chosen(tmp_path) == {"faces": "ours"}
