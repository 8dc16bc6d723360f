"""The inference server: where it is, and how the embedded one runs."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, Field

from gateway.settings.fields import Port, SettingsGroup
from gateway.settings.places import place_check


class TritonSettings(SettingsGroup):
    """Triton."""

    triton_http_port: Port | None = Field(
        None, description="Port of the embedded Triton's HTTP endpoint, which nothing here needs; none when not set."
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
        description="Processes that serve a fused pipeline; one a core when not set.",
    )
    service_concurrency: int = Field(
        default_factory=lambda values: min(100, 2 * values.get("triton_instances", 2)),
        ge=1,
        le=100,
        validation_alias=AliasChoices("SERVICE_CONCURRENCY", "WORKER_COUNT"),
        description="Inferences that a gateway or a worker has under way at the same time; two for each instance when "
        "not set.",
    )
    triton_threads: int = Field(1, ge=1, le=256, description="onnxruntime threads of each such process.")
    triton_grpc_url: Annotated[
        str, AfterValidator(place_check("host:port of its gRPC, such as triton:8001,", port_needed=True))
    ] = Field(
        default_factory=lambda values: f"127.0.0.1:{values['triton_grpc_port']}",
        validation_alias=AliasChoices("TRITON_GRPC_URL", "TRITON_URL"),
        description="host:port of the Triton to use, which speaks gRPC without TLS there; 127.0.0.1:TRITON_GRPC_PORT "
        "when not set.",
    )
    triton_patience_s: float = Field(
        10.0, ge=0, le=600, description="How long a request waits for an unreachable Triton to come back, in seconds."
    )
    gpu_id: int = Field(0, ge=0, le=255, description="GPU of the embedded Triton, where there is one.")
    schp_device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="cpu: the embedded Triton sees no GPU; cuda: it does not start without one."
    )
    schp_config_path: Path | None = Field(
        None, description="Accepted and not read: the models' facts are in model_repository/ and ensembles/."
    )
    temp_folder: Path | None = Field(
        None, description="Accepted and not used: photos are never written to a disk here."
    )
