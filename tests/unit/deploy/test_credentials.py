from pathlib import Path

import pytest

from deploy.embedded import StackError
from deploy.embedded.folders import Credentials


def test_credentials_are_made_once_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = Credentials.kept(path)
    assert Credentials.kept(path) == made
    assert Credentials.kept(tmp_path / "other.json") != made
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.json", "secrets.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"postgres_password": "a"}'])
def test_a_broken_file_of_credentials_is_an_error_and_kept(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(content)
    with pytest.raises(StackError, match=r"secrets\.json"):
        Credentials.kept(path)
    assert path.read_text() == content
