"""The one configuration of Maskwright, read from environment variables."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from typing_extensions import Self

from gateway import __version__
from gateway.pipelines.body_masks import MASK_TYPES, MaskType
from gateway.pipelines.lists import not_empty, split_list, without_repeats

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Port = Annotated[int, Field(ge=1, le=65535)]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class SettingsError(ValueError):
    """The environment holds values that cannot be used; the message names each of them."""


class Settings(BaseSettings):
    """Every setting; the field's description says what it does and its unit."""

    model_config = SettingsConfigDict(frozen=True, env_ignore_empty=True, populate_by_name=True, extra="ignore")

    api_host: str = Field(
        "127.0.0.1",
        validation_alias=AliasChoices("API_HOST", "HOST"),
        description="Address the gateway listens on; 0.0.0.0 for every interface.",
    )
    api_port: Port = Field(
        8000, validation_alias=AliasChoices("API_PORT", "PORT"), description="Port the gateway listens on."
    )
    app_name: str = Field("Maskwright", description="Title shown in the API's documentation.")
    app_version: str = Field(__version__, description="Version shown in the API's documentation.")
    app_debug: bool = Field(
        default=False,
        validation_alias=AliasChoices("APP_DEBUG", "DEBUG"),
        description="Log at DEBUG, and put the text of unexpected errors into the answers.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = Field("INFO", description="Least level that is logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="json: one object a line; console: readable; auto: console on a terminal, else json."
    )
    queue_max_size: int = Field(100, ge=1, le=100_000, description="Requests that may wait; one more is answered 429.")
    request_timeout_s: float = Field(30.0, gt=0, le=3600, description="Time one request may take in all, in seconds.")
    triton_patience_s: float = Field(
        10.0, ge=0, le=600, description="How long a request waits for an unreachable Triton to come back, in seconds."
    )
    max_body_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="Largest request body, in bytes.")
    max_pixels: int = Field(50_000_000, ge=1024, le=50_000_000, description="Largest photo, width × height in pixels.")
    mask_types_default: Annotated[
        tuple[MaskType, ...],
        NoDecode,
        BeforeValidator(split_list),
        AfterValidator(without_repeats),
        AfterValidator(not_empty),
    ] = Field(MASK_TYPES, description="Mask types of a request that names none, comma-separated.")
    profile: Literal["auto", "lite", "full"] = Field(
        "auto", description="Models to use: lite, full (your own checkpoints), or auto: full where ready, else lite."
    )
    maskwright_home: Path = Field(
        Path(".maskwright"), description="Folder for downloads, the assembled Triton, logs and process ids."
    )
    triton_http_port: Port = Field(8003, description="Port of the embedded Triton's HTTP endpoint.")
    triton_grpc_port: Port = Field(8001, description="Port of the embedded Triton's gRPC endpoint.")
    triton_metrics_port: Port = Field(8002, description="Port of the embedded Triton's metrics.")
    triton_layout: Literal["auto", "ensemble", "fused"] = Field(
        "auto",
        description="How the embedded Triton runs a pipeline: as an ensemble of models, or fused into one process; "
        "auto: fused where there is no GPU.",
    )
    triton_instances: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        ge=1,
        le=256,
        description="Processes that serve a fused pipeline; one a core when not set.",
    )
    service_concurrency: int = Field(
        default_factory=lambda values: min(100, 2 * values.get("triton_instances", 2)),
        ge=1,
        le=100,
        description="Requests that Triton works on at the same time; two for each instance when not set.",
    )
    triton_threads: int = Field(1, ge=1, le=256, description="onnxruntime threads of each such process.")
    triton_grpc_url: str = Field(
        default_factory=lambda values: f"127.0.0.1:{values['triton_grpc_port']}",
        pattern=r"^[^\s/]+:\d+$",
        description="host:port of the Triton to use; 127.0.0.1:TRITON_GRPC_PORT when not set.",
    )

    @classmethod
    def from_environment(cls) -> Self:
        """Read the environment.

        Raises SettingsError, one line for each bad variable: its name, its value, what would be right.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("\n".join(_complaints(error))) from error

    @property
    def local_host(self) -> str:
        """The address at which this machine reaches the gateway."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.api_host, self.api_host)  # noqa: S104 compared, not bound

    @property
    def local_url(self) -> str:
        """The gateway's base URL on this machine."""
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"http://{host}:{self.api_port}"

    @property
    def effective_log_level(self) -> LogLevel:
        """DEBUG in debug mode, LOG_LEVEL otherwise."""
        return "DEBUG" if self.app_debug else self.log_level


def variable_names(name: str, field: FieldInfo) -> Sequence[str]:
    """Environment variables that set a field, the preferred one first."""
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]


def _complaints(error: ValidationError) -> list[str]:
    named = (
        (_variable(str(item["loc"][0])), item["msg"])
        for item in error.errors(include_url=False)
        if item["type"] != "default_factory_not_called"
    )
    return [f"{variable}={os.environ.get(variable)}: {message}" for variable, message in named]


def _variable(location: str) -> str:
    """The variable that was set, among those of the field that pydantic means."""
    for name, field in Settings.model_fields.items():
        variables = variable_names(name, field)
        if location.upper() in variables:
            return next((variable for variable in variables if variable in os.environ), variables[0])
    return location.upper()
