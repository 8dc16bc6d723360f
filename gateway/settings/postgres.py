"""Where jobs are kept."""

import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr

from gateway.settings.fields import Port, SettingsGroup

_LONGEST_NAME = 63
"""Bytes of a name in PostgreSQL."""


def _without_driver(value: object) -> object:
    """A URL as SQLAlchemy takes it, postgresql+psycopg2://, without its driver."""
    return re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", value) if isinstance(value, str) else value


def _hosts(value: str) -> str:
    """Hosts, or folders of sockets, between commas. Raises ValueError; a whole address is another setting's."""
    if "://" in value:
        raise ValueError("a host such as db.example would be right; POSTGRES_DSN takes a whole address")
    if any(re.search(r"[\s/?#]", one.strip()) for one in value.split(",") if not one.strip().startswith(("/", "@"))):
        raise ValueError("a host such as db.example would be right, without a path; DB_DATABASE names the database")
    return value


def _schema(name: str) -> str:
    """A schema's name, which is quoted in SQL and is a channel's name too."""
    if not 0 < len(name.encode()) <= _LONGEST_NAME:
        raise ValueError(f"a schema's name has 1 to {_LONGEST_NAME} bytes")
    if name.lower().startswith("pg_") or name.lower() == "information_schema":
        raise ValueError("this schema is PostgreSQL's own")
    if not re.fullmatch(r"[\w .:@/+-]+", name) or name != name.strip():
        raise ValueError("letters, digits, spaces and _ - . : @ / + may be in a schema's name")
    return name


class PostgresSettings(SettingsGroup):
    """PostgreSQL, or memory instead."""

    db_use_database: bool = Field(
        default=True,
        description="false: jobs, photos and masks stay in memory, lost on a restart; no PostgreSQL, S3 or Kafka.",
    )
    db_host: Annotated[str, AfterValidator(_hosts)] = Field(
        "", description="Host of PostgreSQL, where POSTGRES_DSN is not set."
    )
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
    postgres_listen_dsn: Annotated[SecretStr, BeforeValidator(_without_driver)] = Field(
        SecretStr(""),
        description="The same database past a pooler such as pgbouncer in transaction mode: changes are heard there at "
        "once. Without it they are asked for each second, where POSTGRES_DSN leads to such a pooler.",
    )
    postgres_schema: Annotated[str, AfterValidator(_schema)] = Field(
        "maskwright",
        description="Schema of our tables, made when it is missing; user_mask_outputs, task_results, "
        "processing_metrics and cache_performance are where the search path has them.",
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

    @property
    def postgres_variable(self) -> str:
        """The variable that names the database."""
        if "postgres_dsn" not in self.model_fields_set:
            return "DB_HOST"
        return self.variable("postgres_dsn")


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
            return f"postgresql://{login}@{_places(host, port)}/{quote(database, safe='')}"
    return ""


def _places(hosts: str, port: object) -> str:
    """Hosts as a URL has them: a socket's folder encoded, an IPv6 address in brackets, each with a port."""
    return ",".join(_place(host.strip(), port) for host in hosts.split(","))


def _place(host: str, port: object) -> str:
    host = quote(host, safe=":[]%")
    if host.count(":") > 1 and not host.startswith("["):
        return f"[{host}]:{port}"
    return host if re.search(r"[^:\]]:\d+$|\]:\d+$", host) else f"{host}:{port}"
