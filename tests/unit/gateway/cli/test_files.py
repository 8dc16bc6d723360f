from pathlib import Path

import pytest

from gateway.cli.files import shown, write_artifact
from gateway.cli.photos import Layout, PhotoFile


def test_artifacts_lie_under_the_folder(tmp_path: Path) -> None:
    path = write_artifact(PhotoFile(Path("1.jpg"), tmp_path), "person_0/dress_mask.png", b"mask")
    assert path == tmp_path / "person_0" / "dress_mask.png"
    assert path.read_bytes() == b"mask"


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/etc/x.png"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(PermissionError):
        write_artifact(PhotoFile(Path("1.jpg"), tmp_path / "out"), name, b"mask")
    assert list(tmp_path.rglob("x.png")) == []


def test_a_link_where_the_copy_goes_is_replaced_and_what_it_leads_to_is_kept(tmp_path: Path) -> None:
    photo, copy = tmp_path / "1.jpg", tmp_path / "out" / "1.jpg"
    photo.write_bytes(b"photo")
    copy.parent.mkdir()
    copy.symlink_to(photo)
    written = write_artifact(PhotoFile(photo, copy.with_suffix(""), Layout.MIRROR), "blurred.jpg", b"copy")
    assert written == copy
    assert (photo.read_bytes(), copy.read_bytes()) == (b"photo", b"copy")
    assert list(copy.parent.iterdir()) == [copy]


def test_what_a_name_would_do_to_a_terminal_is_escaped() -> None:
    assert shown("Foto é 写真.jpg") == "Foto é 写真.jpg"
    assert shown("a\n\x1b]0;x\x07\u202e\udcff.jpg") == "a\\n\\x1b]0;x\\x07\\u202e\\udcff.jpg"
