"""Files that are read at a start, and are not what they should be."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.embedded import StackError
from deploy.embedded.folders import Credentials, StackState
from exporters.parity import read_report
from gateway.access.tokens import JwksFile
from gateway.settings import SettingsError
from gateway.settings.environment import Given, file_settings
from gateway.settings.sources import KeptError, KeptSettings

CONTENTS = {
    "empty": b"",
    "no text": b"\xff\xfe\x00\xd8",
    "no JSON": b"<html>",
    "half": b'{"pid": 1, "state": "rea',
    "a number": b"7",
    "a list": b"[]",
    "lists": b'{"pid": 1, "state": "x", "services": [], "message": "", "keys": [1], "num_workers": [], "given": []}',
    "numbers": b'{"postgres_password": 1, "s3_access_key": 2, "s3_secret_key": 3, "redis_url": 4}',
    "deep": b"[" * 100_000,
}


@pytest.fixture(params=[*CONTENTS, "a folder", "a loop"])
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "kept" / "settings.json"
    path.parent.mkdir(mode=0o700)
    if request.param == "a folder":
        path.mkdir()
    elif request.param == "a loop":
        path.symlink_to(path)
    else:
        path.write_bytes(CONTENTS[request.param])
        path.chmod(0o600)
    return path


def given_by(path: Path) -> Given:
    return Given("PIPELINE_CONFIG", str(path), "environment: PIPELINE_CONFIG")


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (JwksFile, SettingsError),
        (lambda path: file_settings(given_by(path)), SettingsError),
        (Credentials.kept, StackError),
        (lambda path: KeptSettings.read(path.parent.parent), KeptError),
    ],
    ids=["keys", "PIPELINE_CONFIG", "passwords", "kept settings"],
)
def test_an_error_names_a_broken_file(broken: Path, read: Callable[[Path], object], error: type[Exception]) -> None:
    with pytest.raises(error, match=str(broken)):
        read(broken)


@pytest.mark.parametrize("read", [StackState.read, read_report], ids=["state", "parity"])
def test_a_broken_internal_file_counts_as_missing(broken: Path, read: Callable[[Path], object]) -> None:
    assert read(broken) is None


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_in_another_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "pipeline.json"
    path.write_bytes('{"num_workers": 3, "redis_url": "redis://ü"}'.encode(encoding))
    assert file_settings(given_by(path)) == {"worker_processes": 3, "redis_url": "redis://ü"}
