"""Variables and the configuration file of the blur pipeline."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.settings import Settings, SettingsError, variable_names
from gateway.worker.worker import _worker_name
from tests.stack import CHECKOUT

SEED = {
    "redis_url": "redis://redis-cluster:6379",
    "aws_config": {
        "aws_access_key_id": "your_key",
        "aws_secret_access_key": "your_secret",
        "region_name": "eu-central-1",
        "bucket_name": "image-processing-bucket",
    },
    "num_workers": 5,
    "max_queue_size": 1000,
}
VARIABLES = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "eu-west-1",
    "S3_BUCKET": "your-bucket-name",
    "REDIS_URL": "redis://localhost:6379",
    "WORKER_ID": "worker-1",
    "LOG_LEVEL": "debug",
}


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, field in Settings.model_fields.items():
        for variable in variable_names(name, field):
            monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(SEED))
    monkeypatch.setenv("PIPELINE_CONFIG", str(path))
    return path


def s3_of(settings: Settings) -> tuple[str, str, str, str]:
    secret = settings.minio_secret_key.get_secret_value()
    return settings.minio_access_key, secret, settings.minio_region, settings.minio_bucket


def test_the_blur_pipelines_variables_set_our_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in VARIABLES.items():
        monkeypatch.setenv(variable, value)
    settings = Settings.from_environment()
    assert s3_of(settings) == ("key", "secret", "eu-west-1", "your-bucket-name")
    assert (settings.worker_id, settings.log_level) == ("worker-1", "DEBUG")
    assert settings.redis_url.get_secret_value() == "redis://localhost:6379"


def test_our_own_names_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3_BUCKET", "theirs")
    monkeypatch.setenv("MINIO_BUCKET", "ours")
    assert Settings.from_environment().minio_bucket == "ours"


@pytest.mark.usefixtures("file")
def test_the_pipeline_file_gives_settings() -> None:
    settings = Settings.from_environment()
    assert s3_of(settings) == ("your_key", "your_secret", "eu-central-1", "image-processing-bucket")
    assert (settings.worker_processes, settings.queue_max_size) == (5, 1000)
    assert settings.redis_url.get_secret_value() == SEED["redis_url"]


@pytest.mark.usefixtures("file")
@pytest.mark.parametrize("variable", ["MINIO_BUCKET", "S3_BUCKET", "s3_bucket"])
def test_a_variable_overrides_the_file(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "elsewhere")
    monkeypatch.setenv("QUEUE_MAX_SIZE", "7")
    settings = Settings.from_environment()
    assert s3_of(settings) == ("your_key", "your_secret", "eu-central-1", "elsewhere")
    assert (settings.queue_max_size, settings.worker_processes) == (7, 5)
    assert Settings(minio_bucket="argument").minio_bucket == "argument"


def test_a_part_of_the_file_is_enough(file: Path) -> None:
    file.write_text('{"num_workers": 2, "monitoring": {"port": 9090}, "aws_config": {"profile": "x"}}')
    settings = Settings.from_environment()
    assert (settings.worker_processes, settings.minio_bucket) == (2, "masks")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "the file: Invalid JSON"),
        ("[]", "the file: "),
        ('{"num_workers": "many"}', "num_workers: "),
        ('{"aws_config": {"bucket_name": 1}}', "aws_config.bucket_name: "),
    ],
)
def test_a_bad_file_is_named(file: Path, content: str, complaint: str) -> None:
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment()
    assert str(caught.value).startswith(f"PIPELINE_CONFIG={file}: {complaint}")


def test_a_missing_file_is_named(file: Path) -> None:
    file.unlink()
    with pytest.raises(SettingsError, match="No such file"):
        Settings.from_environment()


def test_a_value_that_cannot_be_used_is_named(file: Path) -> None:
    file.write_text('{"max_queue_size": 0}')
    with pytest.raises(SettingsError, match=r"^QUEUE_MAX_SIZE=0: "):
        Settings.from_environment()


def test_a_workers_name_begins_with_worker_id_and_differs_at_every_start() -> None:
    first, second = (_worker_name(Settings(worker_id="worker-1")) for _ in range(2))
    assert first.startswith("worker-1-")
    assert first != second


def test_a_line_in_the_log_says_that_redis_is_not_used() -> None:
    """The start ends at the unknown pipeline, after that line."""
    environment = {**os.environ, "REDIS_URL": "redis://user:password@redis:6379", "PIPELINES": "nothing"}
    command = [sys.executable, "-m", "gateway"]
    ended = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert "REDIS_URL is not used: jobs wait in PostgreSQL (POSTGRES_DSN)" in ended.stderr
    assert "password" not in ended.stderr
