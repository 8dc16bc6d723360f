"""The one configuration of Maskwright, read from environment variables."""

from pathlib import Path

from pydantic import Field, ValidationError
from typing_extensions import Self

from gateway.settings.access import AccessSettings
from gateway.settings.cache import CacheSettings
from gateway.settings.complaints import SettingsError, complaints
from gateway.settings.fields import SettingsGroup
from gateway.settings.jobs import JobSettings
from gateway.settings.kafka import KafkaSettings
from gateway.settings.metrics import MetricsSettings
from gateway.settings.outside import OutsideSettings
from gateway.settings.pipelines import PipelineSettings
from gateway.settings.postgres import PostgresSettings
from gateway.settings.s3 import S3Settings
from gateway.settings.server import ServerSettings
from gateway.settings.triton import TritonSettings


class StackSettings(SettingsGroup):
    """The stack on one machine."""

    maskwright_home: Path = Field(
        Path(".maskwright"), description="Folder for downloads, the servers' data, logs and process ids."
    )


class Settings(  # the last base's fields come first
    StackSettings,
    OutsideSettings,
    KafkaSettings,
    S3Settings,
    PostgresSettings,
    CacheSettings,
    JobSettings,
    TritonSettings,
    PipelineSettings,
    MetricsSettings,
    AccessSettings,
    ServerSettings,
):
    """Every setting."""

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        Raises SettingsError, one line for each bad variable: its name, its value, what would be right.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("\n".join(complaints(error, cls.model_fields))) from error
