"""The blur pipeline's own configuration: its JSON file, and its queue."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource
from typing_extensions import override

from gateway.settings.environment import SettingsError, shown
from gateway.settings.fields import SettingsGroup
from gateway.settings.short_files import read_short
from gateway.text import read_json


class PipelineFileSettings(SettingsGroup):
    """What the blur pipeline was configured with."""

    pipeline_config: Path | None = Field(
        None,
        description="The blur pipeline's JSON file; its values count where no variable says otherwise: `num_workers` "
        "for WORKER_PROCESSES, `max_queue_size` for QUEUE_MAX_SIZE, `aws_config` for MINIO_ACCESS_KEY and the like.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""), description="Accepted and not used: jobs wait in PostgreSQL (POSTGRES_DSN), or in memory."
    )


class _Aws(BaseModel):
    """Where its objects were."""

    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    region_name: str | None = None
    bucket_name: str | None = None


class _PipelineFile(BaseModel):
    """The file; other members are passed over."""

    model_config = ConfigDict(strict=True)

    redis_url: str | None = None
    num_workers: int | None = None
    max_queue_size: int | None = None
    aws_config: _Aws = Field(default_factory=_Aws)

    def settings(self) -> Mapping[str, object]:
        """Its values, by the names of our settings."""
        aws = self.aws_config
        return {
            "redis_url": self.redis_url,
            "worker_processes": self.num_workers,
            "queue_max_size": self.max_queue_size,
            "minio_access_key": aws.aws_access_key_id,
            "minio_secret_key": aws.aws_secret_access_key,
            "minio_region": aws.region_name,
            "minio_bucket": aws.bucket_name,
        }


class PipelineFileSource(PydanticBaseSettingsSource):
    """The values of the file that PIPELINE_CONFIG names, as the sources before this one say."""

    def __call__(self) -> dict[str, object]:
        """Values by the settings' names. Raises SettingsError where the file cannot be read."""
        path = self.current_state.get("pipeline_config")
        return file_settings(Path(path)) if path else {}

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Nothing: the file is read as a whole."""
        return None, field_name, False


def file_settings(path: Path) -> dict[str, object]:
    """The values of such a file by the settings' names. Raises SettingsError where it cannot be read."""
    return {name: value for name, value in _read(path).settings().items() if value is not None}


def _read(path: Path) -> _PipelineFile:
    said = f"PIPELINE_CONFIG={shown(str(path))}"
    try:
        return _PipelineFile.model_validate(read_json(read_short(path)))
    except OSError as error:
        raise SettingsError(f"{said}: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors())
        raise SettingsError(f"{said}: {wrong}") from error
    except ValueError as error:
        raise SettingsError(f"{said}: the file: Invalid JSON: {error}") from error
