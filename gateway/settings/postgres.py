"""Where jobs are kept."""

from pydantic import AliasChoices, Field, SecretStr

from gateway.settings.fields import Port, SettingsGroup


class PostgresSettings(SettingsGroup):
    """PostgreSQL, or memory instead."""

    db_use_database: bool = Field(
        default=True,
        description="false: jobs, photos and masks stay in memory, lost on a restart; no PostgreSQL, S3 or Kafka.",
    )
    postgres_dsn: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("POSTGRES_DSN", "DATABASE_URL"),
        description="postgresql://user:password@host:port/database; the embedded one, where `maskwright up` runs, when "
        "not set.",
    )
    postgres_pool_size: int = Field(10, ge=2, le=500, description="Connections of one process to PostgreSQL, at most.")
    postgres_port: Port = Field(5432, description="Port of the embedded PostgreSQL.")
