"""All settings together; and those of pipelines, Triton, jobs and the cache."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, AliasChoices, Field, SecretStr, ValidationError

from gateway.settings.environment import Given, complaints, file_settings, read_environment, variable_names
from gateway.settings.fields import CommaSeparated, Port, SettingsError, SettingsGroup, place_check
from gateway.settings.gateway import AccessSettings, MetricsSettings, PublicSettings, ServerSettings
from gateway.settings.stores import KafkaSettings, OutgoingSettings, PostgresSettings, S3Settings
from gateway.untrusted_text import not_empty, without_repeats

MaskType = Literal[
    "upper_body", "upper_body_tshirts", "upper_body_coat", "lower_body", "ethnic_combined", "baggy_lower", "dress"
]
MASK_TYPES: tuple[MaskType, ...] = get_args(MaskType)


class PipelineSettings(SettingsGroup):
    """Which pipelines are offered, and their defaults."""

    pipelines: Annotated[CommaSeparated[tuple[str, ...]], AfterValidator(without_repeats)] = Field(
        (),
        description="Pipelines to offer, comma-separated; all when not set. The embedded Triton loads no others. "
        "Without body_masks no Kafka messages are read.",
    )
    mask_types_default: Annotated[
        CommaSeparated[tuple[MaskType, ...]], AfterValidator(without_repeats), AfterValidator(not_empty)
    ] = Field(MASK_TYPES, description="Mask types of a request that names none, comma-separated.")
    profile: Literal["auto", "lite", "full"] = Field(
        "auto", description="Models to use: lite, full (your own checkpoints), or auto: full where ready, else lite."
    )


class PipelineFileSettings(SettingsGroup):
    """The blur pipeline's own configuration."""

    pipeline_config: Path | None = Field(
        None,
        description="The blur pipeline's JSON file. Its values count for variables that are not set: `num_workers` for "
        "WORKER_PROCESSES, `max_queue_size` for QUEUE_MAX_SIZE, `aws_config` for MINIO_ACCESS_KEY and the like.",
    )
    redis_url: SecretStr = Field(
        SecretStr(""), description="Accepted and not used: jobs wait in PostgreSQL (POSTGRES_DSN), or in memory."
    )


class TritonSettings(SettingsGroup):
    """Triton."""

    triton_http_port: Port | None = Field(
        None,
        description="Port of the embedded Triton's HTTP endpoint, which Maskwright does not need; none when not set.",
    )
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
        description="Processes that serve the fused pipelines; one for each core when not set.",
    )
    service_concurrency: int = Field(
        default_factory=lambda values: min(100, 2 * values.get("triton_instances", 2)),
        ge=1,
        le=100,
        validation_alias=AliasChoices("SERVICE_CONCURRENCY", "WORKER_COUNT"),
        description="Inferences that a gateway or a worker runs at the same time; two for each instance when not set.",
    )
    triton_threads: int = Field(1, ge=1, le=256, description="onnxruntime threads of each such process.")
    triton_grpc_url: Annotated[
        str, AfterValidator(place_check("host:port of its gRPC, such as triton:8001,", port_needed=True))
    ] = Field(
        default_factory=lambda values: f"127.0.0.1:{values['triton_grpc_port']}",
        validation_alias=AliasChoices("TRITON_GRPC_URL", "TRITON_URL"),
        description="host:port of the Triton to use, for gRPC without TLS; 127.0.0.1:TRITON_GRPC_PORT when not set.",
    )
    triton_patience_s: float = Field(
        10.0, ge=0, le=600, description="How long a request waits for an unreachable Triton to come back, in seconds."
    )
    gpu_id: int = Field(0, ge=0, le=255, description="GPU of the embedded Triton, where there is one.")
    schp_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="cpu: the embedded Triton sees no GPU; cuda: it does not start without one."
    )
    triton_tensorrt: Literal["off", "fp32", "fp16"] = Field(
        "off",
        description="Whether the embedded Triton lets TensorRT run the networks on the GPU, and in which precision.",
    )
    schp_config_path: Path | None = Field(
        None, description="Accepted and not read: model_repository/ and ensembles/ describe the models."
    )
    temp_folder: Path | None = Field(None, description="Accepted and not used: photos are never written to a disk.")


_MIB = 1024 * 1024


class JobSettings(SettingsGroup):
    """The queue and the workers."""

    queue_max_size: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Requests, and jobs, that may wait; one more is answered 429, unless its tenant has fewer jobs "
        "waiting than its share.",
    )
    body_memory_bytes: int = Field(
        default_factory=lambda values: max(
            3 * values.get("max_body_bytes", _MIB), 8 * _MIB * values.get("service_concurrency", 1)
        ),
        ge=1024,
        description="Memory for the bodies and large answers of all requests at one time, in bytes; further requests "
        "wait. When not set three times MAX_BODY_BYTES, or 8 MiB for each of SERVICE_CONCURRENCY if that is more; "
        "never less than two bodies.",
    )
    max_retries: int = Field(5, ge=0, le=20, description="Further attempts at a job after a transient failure.")
    user_concurrency: int = Field(
        1,
        ge=1,
        le=1000,
        description="Jobs of one user that run at the same time; with 1 they end in the order of their coming.",
    )
    lease_s: float = Field(
        10.0,
        ge=1,
        le=3600,
        description="Seconds without a heartbeat of a worker after which other workers get its jobs.",
    )
    shutdown_grace_s: float = Field(
        20.0,
        ge=0,
        le=600,
        description="Seconds that running work has to finish when a worker or the gateway is told to stop.",
    )
    job_retention_days: int = Field(
        0, ge=0, le=36_500, description="Days after which ended jobs, their photos and masks are removed; 0: never."
    )
    poison_retention_days: int = Field(
        90, ge=0, le=36_500, description="Days after which closed dead letters are removed; 0: never."
    )
    memory_store_bytes: int = Field(
        256 * 1024 * 1024, ge=1024 * 1024, description="Without a database: bytes of photos and masks kept in memory."
    )
    worker_processes: int = Field(1, ge=1, le=64, description="Worker processes of the embedded stack.")
    worker_id: str = Field(
        "",
        max_length=64,
        pattern=r"^[\x21-\x7e]*$",
        description="Name of a worker in its log and among the `workers`; the machine's when not set. The process is "
        "added to it.",
    )
    worker_port: Port = Field(
        8004, description="Port of the health page of the first worker; each further one uses the next port."
    )


class CacheSettings(SettingsGroup):
    """The cache."""

    cache_enabled: bool = Field(default=True, description="Whether results are kept for equal requests.")
    cache_ttl_hours: float = Field(24.0, gt=0, le=87_600, description="Hours that a result stays in the cache.")
    cache_failure_ttl_hours: float = Field(
        1.0,
        gt=0,
        le=87_600,
        description="Hours that a refusal stays in the cache, such as of a photo without a person; CACHE_TTL_HOURS at "
        "most.",
    )
    cache_max_bytes: int = Field(
        1_048_576_000,
        ge=1024 * 1024,
        description="Bytes of results in the cache. Those used least recently are removed first, of tenants with more "
        "than their share. Without a database a quarter of MEMORY_STORE_BYTES at most.",
    )
    cache_namespace: str = Field(
        "",
        max_length=100,
        description="Any text; with a new one, no older result is used: for when models changed and kept their version "
        "number.",
    )
    similarity_bits: int = Field(
        0,
        ge=0,
        le=15,
        description="Bits of 64 in which the perceptual hashes of two photos may differ to share a result, if their "
        "parameters are equal and their landmarks alike; 0: off.",
    )
    similarity_tolerance: float = Field(
        0.002,
        ge=0,
        le=0.02,
        description="Largest distance between corresponding landmarks that are alike, as a share of the diagonal of "
        "the face's box.",
    )


class StackSettings(SettingsGroup):
    """The stack on one machine."""

    maskwright_home: Path = Field(
        Path(".maskwright"), description="Folder for downloads, the servers' data, logs and process ids."
    )


class Settings(  # the last base's fields come first
    StackSettings,
    OutgoingSettings,
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
    def from_environment(cls, kept: Mapping[str, Given] = MappingProxyType({})) -> Self:
        """Read the environment, then `kept`, by the settings' names, then the file that PIPELINE_CONFIG names.

        Raises SettingsError, one line for each bad variable: its name, its value, what would be right.
        """
        given = {**kept, **read_environment(cls.model_fields).given}
        values = {name: one.value for name, one in given.items()}
        try:
            return cls.model_validate({**file_settings(given.get("pipeline_config")), **values})
        except ValidationError as error:
            raise SettingsError("\n".join(complaints(error, cls.model_fields, given))) from error

    def variable(self, name: str) -> str:
        """The variable that sets a field, as it is really spelt; the preferred one where none does."""
        field = type(self).model_fields[name]
        given = read_environment({name: field}).given
        return given[name].variable if given else variable_names(name, field)[0]

    @property
    def own_base(self) -> str:
        """What links begin with in callbacks and messages, which answer no request: PUBLIC_URL, else this machine."""
        return self.public_base or self.local_url + self.public_prefix

    @property
    def postgres_variable(self) -> str:
        """The variable that names the database."""
        if "postgres_dsn" not in self.model_fields_set:
            return "DB_HOST"
        return self.variable("postgres_dsn")
