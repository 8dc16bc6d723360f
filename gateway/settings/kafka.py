"""Messages in and out."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr

from gateway.access.tenants import TENANT_PATTERN
from gateway.settings.fields import Port, SettingsGroup, upper


class KafkaSettings(SettingsGroup):
    """A Kafka broker."""

    kafka_bootstrap_servers: str = Field(
        "", description="host:port, comma-separated; the embedded broker, where `maskwright up` runs, when not set."
    )
    kafka_topic_input: str = Field("mask_input", min_length=1, description="Topic of the requests.")
    kafka_topic_output: str = Field("mask_output", min_length=1, description="Topic of the outcomes.")
    kafka_topic_poison: str = Field(
        "mask_input_poison", min_length=1, description="Topic of messages that could not be worked on."
    )
    kafka_tenant: str = Field(
        "",
        pattern=rf"^$|^{TENANT_PATTERN}$",
        description="Tenant of the jobs that come as messages; the poison book and `user_mask_outputs` are its alone.",
    )
    kafka_consumer_group: str = Field("maskcomponent-group", min_length=1, description="Consumer group of the workers.")
    kafka_security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], BeforeValidator(upper)
    ] = Field("PLAINTEXT", description="How the broker is spoken to.")
    kafka_sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], BeforeValidator(upper)] = Field(
        "PLAIN", description="How the workers log in, with SASL."
    )
    kafka_username: str = Field("", description="Login, with SASL.")
    kafka_password: SecretStr = Field(SecretStr(""), description="Password, with SASL.")
    kafka_ssl_cafile: Path | None = Field(
        None, description="Certificate authorities of the broker; the system's when not set."
    )
    kafka_port: Port = Field(9092, description="Port of the embedded broker.")
