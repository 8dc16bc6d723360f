from pathlib import Path

import pytest

from gateway.cli.files import write_artifact


def test_artifacts_lie_under_the_folder(tmp_path: Path) -> None:
    path = write_artifact(tmp_path, "person_0/dress_mask.png", b"mask")
    assert path == tmp_path / "person_0" / "dress_mask.png"
    assert path.read_bytes() == b"mask"


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", "/etc/x.png"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(PermissionError):
        write_artifact(tmp_path / "out", name, b"mask")
    assert list(tmp_path.rglob("x.png")) == []
