"""What a running stack was started with, and what a command in another shell makes of it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.folders import Folders, StackState
from deploy.embedded.launcher import running
from gateway.settings import Settings, SettingsError
from gateway.settings.sources import KeptError, KeptSettings, kept_file, lock_file, masked, resolve, started_with

GIVEN = {
    "API_PORT": "8123",
    "POSTGRES_DSN": "postgresql://me:hush@db.example/masks",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example:9093",
    "KAFKA_PASSWORD": "hush",
    "WORKER_PROCESSES": "3",
}
RUNNING = {"API_PORT": "8123", "POSTGRES_DSN": GIVEN["POSTGRES_DSN"], "MINIO_ENDPOINT": "127.0.0.1:9100"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in set(os.environ) - {"PATH", "HOME"}:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MASKWRIGHT_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def launcher(home: Path) -> Iterator[int]:
    """A process that looks like the launcher of this folder."""
    command = [sys.executable, "-c", "input()", "deploy.embedded"]
    with lock_file(home).open("w") as lock:
        pipes = {"stdin": subprocess.PIPE, "stdout": lock, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, **pipes) as process:
            yield process.pid
            process.kill()


@pytest.fixture
def stack(home: Path, launcher: int) -> Path:
    KeptSettings(launcher, GIVEN, RUNNING).write(home)
    return home


@pytest.mark.usefixtures("stack")
def test_commands_use_the_running_stack_where_the_shell_sets_nothing() -> None:
    resolved = resolve()
    assert (resolved.settings.api_port, resolved.settings.worker_processes) == (8123, 3)
    assert resolved.settings.postgres_dsn.get_secret_value() == GIVEN["POSTGRES_DSN"]
    assert resolved.settings.minio_endpoint == "127.0.0.1:9100"
    assert resolved.conflicts == []


def test_only_its_owner_may_read_the_settings_file(stack: Path) -> None:
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (kept_file(stack), kept_file(stack).parent)]
    assert modes == [0o600, 0o700]
    assert list(kept_file(stack).parent.iterdir()) == [kept_file(stack)]


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("name", ["API_PORT", "PORT"])
def test_a_variable_of_the_shell_has_precedence_and_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "9999")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "other.example:9092")
    resolved = resolve()
    assert (resolved.settings.api_port, resolved.settings.kafka_bootstrap_servers) == (9999, "other.example:9092")
    assert resolved.conflicts == [
        f"{name}, KAFKA_BOOTSTRAP_SERVERS differ in this shell from what the running stack has; this shell's counts"
    ]


@pytest.mark.usefixtures("stack")
def test_no_login_of_the_stack_is_sent_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "stranger.example:9092")
    monkeypatch.setenv("DB_HOST", "other-db")
    settings = resolve().settings
    assert settings.kafka_password.get_secret_value() == ""
    assert settings.postgres_dsn.get_secret_value() == "postgresql://postgres:postgres@other-db:5432/facial_api"


@pytest.mark.usefixtures("stack")
def test_repeating_the_same_value_is_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**GIVEN, **RUNNING}.items():
        monkeypatch.setenv(name, value)
    assert resolve().conflicts == []
    assert resolve().settings.kafka_password.get_secret_value() == "hush"


def test_the_launcher_of_another_folder_is_not_this_folders(stack: Path, launcher: int, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    KeptSettings(launcher, GIVEN, RUNNING).write(other)
    state = StackState(launcher, "ready")
    state.write(Folders(other).state)
    assert KeptSettings.read(other) is None
    assert running(Folders(other)) is None
    state.write(Folders(stack).state)
    assert running(Folders(stack)) == state


def test_a_stopped_stack_is_not_used(home: Path, launcher: int) -> None:
    KeptSettings(launcher, GIVEN, RUNNING).write(home)
    os.kill(launcher, 9)
    os.waitpid(launcher, 0)
    assert KeptSettings.read(home) is None
    assert resolve().settings == Settings(maskwright_home=home)


def test_a_stack_in_another_folder_is_not_used_here(
    stack: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("MASKWRIGHT_HOME", str(elsewhere))
    assert resolve().settings.api_port == 8000
    monkeypatch.delenv("MASKWRIGHT_HOME")
    monkeypatch.chdir(elsewhere)
    assert resolve().settings.api_port == 8000
    (elsewhere / ".maskwright").symlink_to(stack)
    assert resolve().settings.api_port == 8123


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a stranger's file")
@pytest.mark.parametrize("part", ["file", "folder"])
def test_another_users_settings_file_is_ignored(stack: Path, part: str) -> None:
    os.chown(kept_file(stack) if part == "file" else kept_file(stack).parent, 12345, -1)
    with pytest.raises(KeptError, match="belongs to user 12345"):
        KeptSettings.read(stack)
    resolved = resolve()
    assert resolved.settings.api_port == 8000
    assert "is not read" in resolved.conflicts[0]


@pytest.mark.parametrize("part", ["file", "folder"])
def test_a_file_that_others_may_write_to_is_ignored(stack: Path, part: str) -> None:
    (kept_file(stack) if part == "file" else kept_file(stack).parent).chmod(0o722)
    with pytest.raises(KeptError, match="others may write"):
        KeptSettings.read(stack)


def test_a_link_is_not_followed(stack: Path, tmp_path: Path) -> None:
    kept_file(stack).rename(tmp_path / "moved")
    kept_file(stack).symlink_to(tmp_path / "moved")
    with pytest.raises(KeptError, match="cannot be read"):
        KeptSettings.read(stack)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x", "given": {}, "running": {}}', "\0"])
def test_a_settings_file_of_another_form_is_ignored(stack: Path, text: str) -> None:
    kept_file(stack).write_text(text)
    with pytest.raises(KeptError, match="not what this version"):
        KeptSettings.read(stack)
    assert resolve().settings.api_port == 8000


def test_a_kept_value_that_cannot_be_used_is_named_with_its_origin(home: Path, launcher: int) -> None:
    KeptSettings(launcher, {"QUEUE_MAX_SIZE": "many", "OF_ANOTHER_VERSION": "x"}, {}).write(home)
    with pytest.raises(SettingsError, match=rf"^QUEUE_MAX_SIZE=many \(kept by `maskwright up` in {home}\): "):
        resolve()


def test_the_stored_settings_are_those_that_were_given(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "pipeline.json").write_text('{"num_workers": 5, "aws_config": {"bucket_name": "theirs"}}')
    monkeypatch.chdir(home)
    variables = {"PORT": '"8001" # ours', "DEBUG": "express:*", "S3_BUCKET": "ours", "JWT_JWKS_FILE": "keys.json"}
    for name, value in {**variables, "PIPELINE_CONFIG": "pipeline.json", "KAFKA_PORT": "tcp://1.2.3.4:9"}.items():
        monkeypatch.setenv(name, value)
    assert started_with() == {
        "API_PORT": "8001", "MINIO_BUCKET": "ours", "WORKER_PROCESSES": "5", "JWT_JWKS_FILE": str(home / "keys.json"),
    }  # fmt: skip


def test_the_shells_pipeline_file_has_precedence_over_the_stack(stack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (stack / "pipeline.json").write_text('{"num_workers": 5}')
    monkeypatch.setenv("PIPELINE_CONFIG", str(stack / "pipeline.json"))
    assert (resolve().settings.worker_processes, resolve().settings.api_port) == (5, 8123)


def test_every_setting_is_listed_with_its_origin_and_without_secrets(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stack / "pipeline.json").write_text('{"max_queue_size": 7}')
    monkeypatch.setenv("PIPELINE_CONFIG", str(stack / "pipeline.json"))
    monkeypatch.setenv("S3_BUCKET", "ours")
    monkeypatch.setenv("DEBUG", "express:*")
    found = resolve()
    listed = list(found.listed())
    by_name = {one.variable: (one.value, one.origin) for one in listed}
    assert by_name.keys() >= {"S3_BUCKET", "LOG_LEVEL"}
    assert len(by_name) == len(Settings.model_fields)
    assert by_name["S3_BUCKET"] == ("ours", "environment: S3_BUCKET")
    assert by_name["API_PORT"] == ("8123", f"kept by `maskwright up` in {stack}")
    assert by_name["MINIO_ENDPOINT"] == ("127.0.0.1:9100", f"embedded: the stack in {stack}")
    assert by_name["QUEUE_MAX_SIZE"] == ("7", f"PIPELINE_CONFIG: {stack / 'pipeline.json'}")
    assert by_name["LOG_LEVEL"] == ("INFO", "default")
    assert by_name["POSTGRES_DSN"][0] == "postgresql://me:…@db.example/masks"
    assert by_name["MINIO_ACCESS_KEY"] == ("not set", "embedded")
    assert "hush" not in str((listed, found.remarks))
    assert [line.split("=")[0] for line in (*found.conflicts, *found.remarks)] == ["DEBUG"]


@pytest.mark.parametrize(
    "dsn",
    [
        *("postgresql://me:hush@db/x", "postgres://me:a@hush@db/x?a=b", "postgresql://hu/sh:hush@db", "hush"),
        *("host=db password=hush", "postgresql://db/x?sslpassword=hush", "postgresql://db/x?user=me&password=hush&a=b"),
    ],
)
def test_a_password_in_an_address_is_hidden(dsn: str) -> None:
    assert "hush" not in masked(Settings(postgres_dsn=dsn).postgres_dsn)
