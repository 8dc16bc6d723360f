"""The one configuration of Maskwright, read from environment variables."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from gateway.settings.access import AccessSettings
from gateway.settings.cache import CacheSettings
from gateway.settings.complaints import complaints
from gateway.settings.environment import EnvironmentSource, Given, SettingsError, read_environment
from gateway.settings.fields import SettingsGroup
from gateway.settings.jobs import JobSettings
from gateway.settings.kafka import KafkaSettings
from gateway.settings.metrics import MetricsSettings
from gateway.settings.outside import OutsideSettings
from gateway.settings.pipeline_file import PipelineFileSettings, PipelineFileSource
from gateway.settings.pipelines import PipelineSettings
from gateway.settings.postgres import PostgresSettings
from gateway.settings.public import PublicSettings
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
    PipelineFileSettings,
    MetricsSettings,
    AccessSettings,
    PublicSettings,
    ServerSettings,
):
    """Every setting."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the file that PIPELINE_CONFIG names."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, EnvironmentSource(settings_cls), PipelineFileSource(settings_cls)

    @classmethod
    def from_environment(cls, kept: Mapping[str, Given] = MappingProxyType({})) -> Self:
        """Read the environment; `kept`: what counts where it says nothing, by the settings' names.

        Raises SettingsError, one line for each bad variable: its name, its value, what would be right.
        """
        given = {**kept, **read_environment(cls.model_fields).given}
        try:
            return cls.model_validate({name: one.value for name, one in given.items()})
        except ValidationError as error:
            raise SettingsError("\n".join(complaints(error, cls.model_fields, given))) from error
