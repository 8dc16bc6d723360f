"""Where the servers are: the addresses and logins of the stack's own, and those that settings give."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from deploy.embedded import StackError
from deploy.embedded.folders import Credentials
from gateway.settings import Settings

POSTGRES_ADMIN = "maskwright"
"""The administrator, whom initdb creates. Former versions gave this user to the gateway."""
POSTGRES_USER = "maskwright_gateway"
POSTGRES_DATABASE = "maskwright"
"""The gateway's user, and the database that it owns."""


@dataclass(frozen=True)
class Addresses:
    """Settings in which every address is filled in, and the servers that belong to the stack."""

    settings: Settings
    own_postgres: bool
    own_s3: bool
    own_kafka: bool

    @classmethod
    def of(cls, given: Settings, secrets: Path) -> "Addresses":
        """Fill in missing addresses, with the passwords stored in the file `secrets`.

        Raises StackError if an embedded server cannot do what the settings ask.
        """
        if not given.db_use_database:
            return cls(given, own_postgres=False, own_s3=False, own_kafka=False)
        credentials = Credentials.kept(secrets)
        settings = _without_our_own(given, credentials)
        own_s3 = not settings.minio_endpoint
        own_kafka = not settings.kafka_bootstrap_servers
        if own_s3 and settings.minio_secure:
            raise StackError("the embedded S3 does not speak TLS; give MINIO_ENDPOINT, or unset MINIO_SECURE")
        if own_kafka and settings.kafka_security_protocol != "PLAINTEXT":
            raise StackError(
                "the embedded Kafka has neither TLS nor logins; give KAFKA_BOOTSTRAP_SERVERS, or unset "
                "KAFKA_SECURITY_PROTOCOL"
            )
        return cls(_filled(settings, credentials), not settings.postgres_dsn.get_secret_value(), own_s3, own_kafka)

    def environment(self) -> Mapping[str, str]:
        """The addresses as variables, for the gateway, the workers and a person's own tools."""
        settings = self.settings
        if not settings.db_use_database:
            return {}
        token = settings.minio_session_token.get_secret_value()
        return {
            "POSTGRES_DSN": settings.postgres_dsn.get_secret_value(),
            "MINIO_ENDPOINT": settings.minio_endpoint,
            **({"MINIO_SECURE": "true"} if settings.minio_secure else {}),
            "MINIO_ACCESS_KEY": settings.minio_access_key,
            "MINIO_SECRET_KEY": settings.minio_secret_key.get_secret_value(),
            **({"MINIO_SESSION_TOKEN": token} if token else {}),
            "KAFKA_BOOTSTRAP_SERVERS": settings.kafka_bootstrap_servers,
        }


def _embedded(settings: Settings, credentials: Credentials) -> Mapping[str, str]:
    password = credentials.postgres_password
    address = f"127.0.0.1:{settings.postgres_port}"
    return {
        "postgres_dsn": f"postgresql://{POSTGRES_USER}:{password}@{address}/{POSTGRES_DATABASE}",
        "minio_endpoint": f"127.0.0.1:{settings.s3_port}",
        "kafka_bootstrap_servers": f"127.0.0.1:{settings.kafka_port}",
    }


def _former_dsn(settings: Settings, credentials: Credentials) -> str:
    """What `maskwright env` printed in a version without an administrator."""
    password = credentials.postgres_password
    return f"postgresql://{POSTGRES_ADMIN}:{password}@127.0.0.1:{settings.postgres_port}/postgres"


def _without_our_own(given: Settings, credentials: Credentials) -> Settings:
    """In a shell that evaluated `maskwright env`, our own addresses do not count as servers of others.

    Such a shell is recognised by our passwords.
    """
    own = _embedded(given, credentials)
    if given.postgres_dsn.get_secret_value() == _former_dsn(given, credentials):
        given = given.model_copy(update={"postgres_dsn": SecretStr(own["postgres_dsn"])})
    ours = (own["postgres_dsn"], credentials.s3_secret_key)
    if not {given.postgres_dsn.get_secret_value(), given.minio_secret_key.get_secret_value()} & set(ours):
        return given
    values = {name: _plain(getattr(given, name)) for name in own}
    blank = {"postgres_dsn": SecretStr(""), "minio_endpoint": "", "kafka_bootstrap_servers": ""}
    return given.model_copy(update={name: blank[name] for name, value in values.items() if value == own[name]})


def _filled(settings: Settings, credentials: Credentials) -> Settings:
    own = _embedded(settings, credentials)
    update: dict[str, str | SecretStr] = {}
    if not settings.postgres_dsn.get_secret_value():
        update["postgres_dsn"] = SecretStr(own["postgres_dsn"])
    if not settings.kafka_bootstrap_servers:
        update["kafka_bootstrap_servers"] = own["kafka_bootstrap_servers"]
    if not settings.minio_endpoint:
        update["minio_endpoint"] = own["minio_endpoint"]
        update["minio_access_key"] = settings.minio_access_key or credentials.s3_access_key
        secret = settings.minio_secret_key.get_secret_value() or credentials.s3_secret_key
        update["minio_secret_key"] = SecretStr(secret)
        update["minio_session_token"] = SecretStr("")
    return settings.model_copy(update=update)


def _plain(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
