"""Where jobs are kept."""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr

from gateway.settings.fields import Port, SettingsGroup


def _without_driver(value: object) -> object:
    """A URL as SQLAlchemy takes it, postgresql+psycopg2://, without its driver."""
    return re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", value) if isinstance(value, str) else value


class PostgresSettings(SettingsGroup):
    """PostgreSQL, or memory instead."""

    db_use_database: bool = Field(
        default=True,
        description="false: jobs, photos and masks stay in memory, lost on a restart; no PostgreSQL, S3 or Kafka.",
    )
    db_host: str = Field("", description="Host of PostgreSQL, where POSTGRES_DSN is not set.")
    db_port: Port = Field(5432, description="Its port.")
    db_username: str = Field("postgres", description="Login there.")
    db_password: SecretStr = Field(SecretStr("postgres"), description="Password of the login.")
    db_database: str = Field("facial_api", description="Database there.")
    postgres_dsn: Annotated[SecretStr, BeforeValidator(_without_driver)] = Field(
        default_factory=lambda values: SecretStr(_dsn(values)),
        validation_alias=AliasChoices("POSTGRES_DSN", "DATABASE_URL"),
        description="postgresql://user:password@host:port/database; a driver's name (+psycopg2) is passed over; made "
        "of DB_HOST and the like when not set, and without those the embedded one's, where `maskwright up` runs.",
    )
    postgres_pool_size: int = Field(
        10,
        ge=2,
        le=500,
        validation_alias=AliasChoices("POSTGRES_POOL_SIZE", "SQLALCHEMY_POOL_SIZE"),
        description="Connections of one process to PostgreSQL, at most; one more listens, and one holds locks.",
    )
    postgres_port: Port = Field(5432, description="Port of the embedded PostgreSQL.")

    @property
    def uses_database(self) -> bool:
        """Whether there is a database."""
        return self.db_use_database and bool(self.postgres_dsn.get_secret_value())


def _dsn(values: Mapping[str, object]) -> str:
    """The address that DB_HOST and the like make; nothing without a host, or where one of them is wrong."""
    match values:
        case {
            "db_host": str(host),
            "db_port": port,
            "db_username": str(user),
            "db_password": SecretStr() as password,
            "db_database": str(database),
        } if host:
            login = f"{quote(user, safe='')}:{quote(password.get_secret_value(), safe='')}"
            return f"postgresql://{login}@{host}:{port}/{quote(database, safe='')}"
    return ""
