"""Messages in and out."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr

from gateway.settings.fields import Port, SettingsGroup, upper
from gateway.settings.names import TENANT_PATTERN
from gateway.settings.places import place_check, web_address


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
    ] = Field(
        "PLAINTEXT",
        description="How the broker is spoken to; when not set, as KAFKA_BOOTSTRAP_SERVERS says before its hosts.",
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
        None, description="The workers' own certificate as PEM, where the broker asks for one; it may hold the key too."
    )
    kafka_ssl_keyfile: Path | None = Field(None, description="Its key as PEM, where KAFKA_SSL_CERTFILE holds none.")
    kafka_ssl_password: SecretStr = Field(SecretStr(""), description="Password of the key, where it is encrypted.")
    kafka_oauth_token_url: Annotated[str, AfterValidator(web_address)] = Field(
        "",
        description="Where OAUTHBEARER's tokens are asked for, by client credentials (RFC 6749 §4.4).",
    )
    kafka_oauth_client_id: str = Field("", description="Who asks.")
    kafka_oauth_client_secret: SecretStr = Field(SecretStr(""), description="Its secret.")
    kafka_oauth_scope: str = Field("", description="Scope of the token, where the server wants one.")
    kafka_oauth_cafile: Path | None = Field(
        None, description="Certificate authorities of the token's server; the system's when not set."
    )
    kafka_aws_region: str = Field(
        "",
        validation_alias=AliasChoices("KAFKA_AWS_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"),
        description="Region that AWS_MSK_IAM signs for; the broker's name says it when not set.",
    )
    kafka_port: Port = Field(9092, description="Port of the embedded broker.")
