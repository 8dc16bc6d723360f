from pathlib import Path

import pytest

from deploy.embedded import StackError
from deploy.embedded.folders import Folders
from deploy.embedded.launcher import only_launcher
from deploy.embedded.s3_kafka import S3
from gateway.settings import Settings
from tests.ports import free_s3_port


@pytest.mark.parametrize("there", [False, True])
def test_only_the_servers_user_can_open_the_data_of_the_embedded_s3(tmp_path: Path, there: bool) -> None:  # noqa: FBT001
    folders = Folders(tmp_path)
    folders.create()
    if there:  # as a former version made it
        (folders.data / "s3").mkdir(mode=0o755)
    settings = Settings(minio_endpoint="127.0.0.1:9000", minio_access_key="app", minio_secret_key="secret of app")  # noqa: S106
    S3(settings, folders).prepare()
    assert (folders.data / "s3").stat().st_mode & 0o777 == 0o700
    assert (folders.data / "s3.pem").stat().st_mode & 0o777 == 0o600


def test_only_the_owner_can_open_the_lock_of_a_stack(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    folders.lock.touch(mode=0o644)
    with only_launcher(folders):
        assert folders.lock.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_a_file_at_a_sockets_path_is_removed_or_named_in_the_error(tmp_path: Path, kind: str) -> None:
    folders = Folders(tmp_path)
    folders.create()
    port = free_s3_port()
    there = Path(f"/tmp/seaweedfs-s3-{port}.sock")
    made = {"folder": there.mkdir, "file": there.touch, "dangling link": lambda: there.symlink_to("nowhere")}
    made[kind]()
    server = S3(Settings(minio_endpoint=f"127.0.0.1:{port}", s3_port=port), folders)
    try:
        if kind == "folder":
            with pytest.raises(StackError, match=rf"{there} is in the way: .*; remove it, or choose another S3_PORT"):
                server.prepare()
        else:
            server.prepare()
            assert not there.is_symlink()
            assert not there.exists()
    finally:
        if kind == "folder":
            there.rmdir()
