from pathlib import Path

import cv2
import numpy as np
import pytest

from exporters.errors import ExporterError
from exporters.forms.photos import MOST, photos_of


def test_odd_files_are_named_and_photos_are_used(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), np.zeros((30, 50, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("not a photo")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder").mkdir()
    photos = photos_of(tmp_path, (64, 32), lambda _: None)
    assert photos.names == ["good.png"]
    assert set(photos.passed_over) == {"notes.txt", "empty.jpg"}
    assert [image.shape for image in photos.images] == [(32, 64, 3)] * 2


def test_of_many_photos_some_are_taken_in_equal_steps(tmp_path: Path) -> None:
    for place in range(2 * MOST):
        cv2.imwrite(str(tmp_path / f"{place:03}.png"), np.zeros((16, 16, 3), np.uint8))
    assert photos_of(tmp_path, (4, 4), lambda _: None).names == [f"{place:03}.png" for place in range(0, 2 * MOST, 2)]


def test_half_of_many_photos_is_held_apart(tmp_path: Path) -> None:
    for place in range(12):
        cv2.imwrite(str(tmp_path / f"{place:02}.png"), np.full((16, 16, 3), place, np.uint8))
    ranges, apart = photos_of(tmp_path, (16, 16), lambda _: None).split()
    assert not set(ranges.names) & set(apart.names)
    for half in (ranges, apart):
        assert [image[0, 0, 0] for image in half.images] == [int(name[:2]) for name in half.names for _ in range(2)]


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExporterError, match=r"has no photo that can be used \(it is empty\)"):
        photos_of(tmp_path, (4, 4), lambda _: None)
    (tmp_path / "notes.txt").write_text("not a photo")
    with pytest.raises(ExporterError, match=r"notes\.txt: image_unsupported"):
        photos_of(tmp_path, (4, 4), lambda _: None)
