from pathlib import Path

from steps.object_detectors import chosen_detectors
from tests.unit.steps.detector_folders import add_detector


def chosen(repository: Path) -> dict[str, str]:
    return {role: detector.model for role, detector in chosen_detectors(repository).items()}


def test_a_detector_that_a_user_added_is_chosen_before_ours(tmp_path: Path) -> None:
    add_detector(tmp_path, "zealous", "faces", added=False)
    add_detector(tmp_path, "mine", "faces")
    assert chosen(tmp_path) == {"faces": "mine"}


def test_of_several_the_last_by_name_is_chosen(tmp_path: Path) -> None:
    for name in ("plates_2", "plates_3", "plates_1"):
        add_detector(tmp_path, name, "plates")
    assert chosen(tmp_path) == {"plates": "plates_3"}


def test_one_whose_model_is_missing_is_not_chosen(tmp_path: Path) -> None:
    add_detector(tmp_path, "ours", "faces", added=False)
    add_detector(tmp_path, "mine", "faces", ready=False)
    add_detector(tmp_path, "objects", "objects", ready=False)
    assert chosen(tmp_path) == {"faces": "ours"}
