"""How jobs wait, run and are tried again."""

from pydantic import Field

from gateway.settings.fields import Port, SettingsGroup

_MIB = 1024 * 1024


class JobSettings(SettingsGroup):
    """The queue and the workers."""

    queue_max_size: int = Field(
        100,
        ge=1,
        le=100_000,
        description="Requests, and jobs, that may wait; one more is answered 429. A tenant that has fewer jobs waiting "
        "than its part of them still gets in.",
    )
    body_memory_bytes: int = Field(
        default_factory=lambda values: max(
            3 * values.get("max_body_bytes", _MIB), 8 * _MIB * values.get("service_concurrency", 1)
        ),
        ge=1024,
        description="Memory for the bodies and large answers of all requests at one time, in bytes; further ones wait. "
        "When not set three times MAX_BODY_BYTES, or 8 MiB for each of SERVICE_CONCURRENCY if that is more; never less "
        "than two bodies.",
    )
    max_retries: int = Field(5, ge=0, le=20, description="Further attempts at a job after a transient failure.")
    user_concurrency: int = Field(
        1, ge=1, le=1000, description="Jobs of one user that run at the same time; with 1 they end in their order."
    )
    lease_s: float = Field(
        10.0,
        ge=1,
        le=3600,
        description="Seconds after which the jobs of a worker that gives no sign are given to others.",
    )
    shutdown_grace_s: float = Field(
        20.0, ge=0, le=600, description="Seconds that work under way gets when a worker or the gateway is told to stop."
    )
    job_retention_days: int = Field(
        0, ge=0, le=36_500, description="Days after which ended jobs, their photos and masks are removed; 0: never."
    )
    poison_retention_days: int = Field(
        90, ge=0, le=36_500, description="Days after which closed entries of the poison book are removed; 0: never."
    )
    memory_store_bytes: int = Field(
        256 * 1024 * 1024, ge=1024 * 1024, description="Without a database: bytes of photos and masks kept in memory."
    )
    worker_processes: int = Field(1, ge=1, le=64, description="Worker processes of the embedded stack.")
    worker_id: str = Field(
        "",
        max_length=64,
        pattern=r"^[\x21-\x7e]*$",
        description="Name of a worker in its log and among the `workers`, to which its process is added; the machine's "
        "when not set.",
    )
    worker_port: Port = Field(8004, description="Port of a worker's health page; of several workers, the first's.")
