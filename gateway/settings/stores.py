"""Settings of other servers: PostgreSQL, S3, Kafka, and those that photos come from and callbacks go to."""

import json
import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr

from gateway.settings.fields import (
    TENANT_PATTERN,
    CommaSeparated,
    Port,
    SettingsGroup,
    place_check,
    public_endpoint,
    upper,
    web_address,
)

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
    db_port: Port = Field(5432, description="Port of DB_HOST.")
    db_username: str = Field("postgres", description="Login at DB_HOST.")
    db_password: SecretStr = Field(SecretStr("postgres"), description="Password of the login.")
    db_database: str = Field("facial_api", description="Database at DB_HOST.")
    postgres_dsn: Annotated[SecretStr, BeforeValidator(_without_driver)] = Field(
        default_factory=lambda values: SecretStr(_dsn(values)),
        validation_alias=AliasChoices("POSTGRES_DSN", "DATABASE_URL"),
        description="postgresql://user:password@host:port/database; a driver's name (+psycopg2) is ignored. When not "
        "set, made of DB_HOST and the like; without those the embedded server's, where `maskwright up` runs.",
    )
    postgres_listen_dsn: Annotated[SecretStr, BeforeValidator(_without_driver)] = Field(
        SecretStr(""),
        description="The same database, not through a pooler such as pgbouncer in transaction mode: changes are heard "
        "there at once. Without it, and with POSTGRES_DSN at such a pooler, the database is asked each second.",
    )
    postgres_schema: Annotated[str, AfterValidator(_schema)] = Field(
        "maskwright",
        description="Schema of our tables, made when it is missing. The search path leads to user_mask_outputs, "
        "task_results, processing_metrics and cache_performance.",
    )
    postgres_pool_size: int = Field(
        10,
        ge=2,
        le=500,
        validation_alias=AliasChoices("POSTGRES_POOL_SIZE", "SQLALCHEMY_POOL_SIZE"),
        description="Most connections of one process to PostgreSQL, beside one that listens.",
    )
    postgres_port: Port = Field(5432, description="Port of the embedded PostgreSQL.")

    @property
    def uses_database(self) -> bool:
        """Whether there is a database."""
        return self.db_use_database and bool(self.postgres_dsn.get_secret_value())


def _dsn(values: Mapping[str, object]) -> str:
    """The address made of DB_HOST and the like; empty without a host, or where one of them is wrong."""
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


Encryption = Literal["none", "AES256", "aws:kms"]
_ENCRYPTIONS: dict[str, Encryption] = {
    "none": "none", "aes256": "AES256", "sse-s3": "AES256", "aws:kms": "aws:kms", "sse-kms": "aws:kms",
}  # fmt: skip


def _own_token(token: SecretStr) -> SecretStr:
    """No token where AWS_SESSION_TOKEN belongs to another key than the one in use."""
    given = os.environ
    ambient = token.get_secret_value() == given.get("AWS_SESSION_TOKEN") and not given.get("MINIO_SESSION_TOKEN")
    other_key = given.get("MINIO_ACCESS_KEY") or not given.get("AWS_ACCESS_KEY_ID")
    return SecretStr("") if ambient and other_key else token


def _object(value: object) -> object:
    """The value of JSON text. Raises ValueError."""
    return json.loads(value) if isinstance(value, str) else value


def _encryption(value: object) -> object:
    """The word of S3's header for any name of an encryption."""
    return _ENCRYPTIONS.get(value.strip().lower(), value) if isinstance(value, str) else value


class S3Settings(SettingsGroup):
    """Any S3: MinIO, AWS, SeaweedFS."""

    minio_endpoint: Annotated[
        str, AfterValidator(place_check("host:port, or a URL such as https://s3.example.com without a path,"))
    ] = Field(
        "",
        description="host:port, or URL, of the S3 server; the embedded one, where `maskwright up` runs, when not set.",
    )
    minio_access_key: str = Field(
        "",
        validation_alias=AliasChoices("MINIO_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
        description="Access key; made by the embedded stack when not set. For another server without key and secret, "
        "they are looked for as AWS does: web identity, AWS_PROFILE, container and instance roles.",
    )
    minio_secret_key: SecretStr = Field(
        SecretStr(""),
        validation_alias=AliasChoices("MINIO_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"),
        description="Secret of the access key; made by the embedded stack when not set.",
    )
    minio_session_token: Annotated[SecretStr, AfterValidator(_own_token)] = Field(
        SecretStr(""),
        validation_alias=AliasChoices("MINIO_SESSION_TOKEN", "AWS_SESSION_TOKEN"),
        description="Session token of temporary keys; AWS_SESSION_TOKEN counts where the key is AWS_ACCESS_KEY_ID.",
    )
    minio_bucket: str = Field(
        "masks",
        min_length=3,
        max_length=63,
        validation_alias=AliasChoices("MINIO_BUCKET", "S3_BUCKET"),
        description="Bucket of the masks, and of uploads and their blurred copies.",
    )
    minio_photo_bucket: str = Field(
        "mask-photos",
        min_length=3,
        max_length=63,
        description="Bucket of the photos of waiting jobs; keep it private.",
    )
    minio_secure: bool = Field(
        default=False, description="Whether the S3 server speaks TLS; when not set, as the URL in MINIO_ENDPOINT says."
    )
    minio_region: str = Field(
        "us-east-1",
        validation_alias=AliasChoices("MINIO_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
        description="Region of the S3 server; links are signed for it.",
    )
    minio_ca_file: Path | None = Field(
        None,
        validation_alias=AliasChoices("MINIO_CA_FILE", "AWS_CA_BUNDLE"),
        description="Certificate authorities of the S3 server, beside the system's.",
    )
    s3_addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto",
        description="Whether buckets are named in the path or in the host name; auto: the latter on Amazon's hosts.",
    )
    s3_sse: Annotated[Encryption, BeforeValidator(_encryption)] = Field(
        "none", description="How S3 is told to encrypt photos and masks: AES256 (SSE-S3) or aws:kms (SSE-KMS)."
    )
    s3_sse_kms_key_id: str = Field("", description="Key of SSE-KMS: an id, ARN or alias; needed with aws:kms.")
    s3_sse_kms_context: Annotated[dict[str, str], BeforeValidator(_object)] = Field(
        {}, description="Encryption context of SSE-KMS, as a JSON object of texts."
    )
    image_buckets: CommaSeparated[tuple[str, ...]] = Field(
        (),
        description="Buckets a job's image of type s3 may come from, comma-separated; MINIO_BUCKET alone when not set.",
    )
    base_url: str = Field(
        "",
        pattern=r"^$|^https?://\S+$",
        examples=["a URL such as https://masks.example.com"],
        description="What links to masks begin with, before the key; presigned links when not set.",
    )
    s3_public_endpoint: Annotated[str, AfterValidator(public_endpoint)] = Field(
        "",
        description="Where others reach the S3 server, such as https://s3.example.com, for presigned links; "
        "MINIO_ENDPOINT when not set. With a path, such as https://example.com/s3, a proxy must strip it.",
    )
    artifact_links: Literal["presigned", "gateway"] = Field(
        "presigned",
        description="presigned: links to artifacts lead into S3; gateway: they lead to the gateway, which checks the "
        "caller, for buckets that others do not reach.",
    )
    presigned_url_expiry: int = Field(
        604_800,
        ge=60,
        le=31_536_000,
        description="How long a presigned link works, in seconds; S3 itself allows at most 604800, seven days.",
    )
    s3_port: Annotated[int, Field(ge=1, le=55_000)] = Field(
        9000, description="Port of the embedded S3; the four after it, and each + 10000, are used too."
    )


class KafkaSettings(SettingsGroup):
    """A Kafka broker."""

    kafka_bootstrap_servers: Annotated[
        str, AfterValidator(place_check("host:port, comma-separated, as kafka.example:9092,", several=True))
    ] = Field(
        "",
        description="host:port, comma-separated; the embedded broker, where `maskwright up` runs, when not set. "
        "PLAINTEXT:// and the like may stand before it.",
    )
    kafka_topic_input: str = Field("mask_input", min_length=1, description="Topic of the requests.")
    kafka_topic_output: str = Field("mask_output", min_length=1, description="Topic of the outcomes.")
    kafka_topic_poison: str = Field(
        "mask_input_poison", min_length=1, description="Topic of messages that could not be processed."
    )
    kafka_tenant: str = Field(
        "",
        pattern=rf"^$|^{TENANT_PATTERN}$",
        description="Tenant of the jobs that come as messages; only it sees the dead letters and `user_mask_outputs`.",
    )
    kafka_consumer_group: str = Field("maskcomponent-group", min_length=1, description="Consumer group of the workers.")
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(upper)
    ] = Field(
        "PLAINTEXT",
        description="Protocol of the broker; when not set, the scheme before the hosts in KAFKA_BOOTSTRAP_SERVERS.",
    )
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"], BeforeValidator(upper)
    ] = Field("PLAIN", description="How the workers log in, with SASL; AWS_MSK_IAM needs the extra `msk`.")
    kafka_username: str = Field("", description="Login, with SASL.")
    kafka_password: SecretStr = Field(SecretStr(""), description="Password, with SASL.")
    kafka_ssl_cafile: Path | None = Field(
        None, description="Certificate authorities of the broker; the system's when not set."
    )
    kafka_ssl_certfile: Path | None = Field(
        None,
        description="The workers' own certificate as PEM, where the broker asks for one; it may contain the key too.",
    )
    kafka_ssl_keyfile: Path | None = Field(
        None, description="Key of that certificate as PEM, where KAFKA_SSL_CERTFILE contains none."
    )
    kafka_ssl_password: SecretStr = Field(SecretStr(""), description="Password of that key, where it is encrypted.")
    kafka_oauth_token_url: Annotated[str, AfterValidator(web_address)] = Field(
        "",
        description="Address that gives tokens for OAUTHBEARER, for client credentials (RFC 6749 §4.4).",
    )
    kafka_oauth_client_id: str = Field("", description="Client id for that address.")
    kafka_oauth_client_secret: SecretStr = Field(SecretStr(""), description="Secret of that client.")
    kafka_oauth_scope: str = Field("", description="Scope of the token, where the server wants one.")
    kafka_oauth_cafile: Path | None = Field(
        None, description="Certificate authorities of the token's server; the system's when not set."
    )
    kafka_aws_region: str = Field(
        "",
        validation_alias=AliasChoices("KAFKA_AWS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
        description="Region that AWS_MSK_IAM signs for; taken from the broker's name when not set.",
    )
    kafka_port: Port = Field(9092, description="Port of the embedded broker.")


class OutgoingSettings(SettingsGroup):
    """Photos by URL, and callbacks."""

    allowed_networks: CommaSeparated[tuple[IPv4Network | IPv6Network, ...]] = Field(
        (),
        description="Networks beside the public Internet that photos and callbacks may reach, such as 10.0.0.0/8, "
        "comma-separated.",
    )
    fetch_timeout_s: float = Field(10.0, gt=0, le=600, description="Time in all to fetch one photo, in seconds.")
    callback_timeout_s: float = Field(10.0, gt=0, le=600, description="Time one callback may take, in seconds.")
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Operator's secret of callbacks (Standard Webhooks): whsec_ and base64. Each tenant's secret is "
        "made from it: `maskwright keys webhook`. Without it callbacks are refused.",
    )
    webhook_secret_before: SecretStr = Field(
        SecretStr(""),
        description="The former WEBHOOK_SECRET, while receivers change to a new one: callbacks of every tenant are "
        "signed with both.",
    )
    mask_asset_url: Annotated[str, AfterValidator(web_address)] = Field(
        "",
        description="Address that the masks of POST /process are uploaded to; they are not uploaded when not set.",
    )
    mask_component_secret: SecretStr = Field(SecretStr(""), description="Sent with these uploads as X-Internal-Auth.")
