"""Settings of the gateway itself: its address, the proxy before it, its callers, and its metrics."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, model_validator

from gateway import __version__
from gateway.hosts import host_pattern, origin_pattern
from gateway.settings.fields import (
    SCOPE_PATTERN,
    TENANT_PATTERN,
    CommaSeparated,
    LogLevel,
    Port,
    SettingsGroup,
    is_prefix,
    public_endpoint,
    upper,
)

_LEVELS: Mapping[object, str] = MappingProxyType(
    {
        **dict.fromkeys(("TRACE", "VERBOSE", "SILLY", "FINE", "FINEST", "ALL", "10"), "DEBUG"),
        **dict.fromkeys(("NOTICE", "HTTP", "INFORMATION", "LOG", "20"), "INFO"),
        **dict.fromkeys(("WARN", "30"), "WARNING"),
        **dict.fromkeys(("ERR", "SEVERE", "40"), "ERROR"),
        **dict.fromkeys(("FATAL", "ALERT", "EMERG", "PANIC", "OFF", "NONE", "SILENT", "50"), "CRITICAL"),
    }
)
"""Other loggers' words for our levels, and Python's numbers."""
_FORMATS: Mapping[object, str] = MappingProxyType(dict.fromkeys(("TEXT", "PRETTY", "PLAIN", "HUMAN", "DEV"), "console"))
"""Other loggers' words for lines that people read."""


def _level(value: object) -> object:
    """A level by any common name, in any case."""
    return _LEVELS.get(name, name) if isinstance(name := upper(value), str) else value


def _format(value: object) -> object:
    """A format by any common name, in any case."""
    return _FORMATS.get(name, name.lower()) if isinstance(name := upper(value), str) else value


def _listening(value: str) -> str:
    """An address without the brackets of URLs. Raises ValueError for what is neither an address nor a name."""
    address = value.removeprefix("[").removesuffix("]")
    try:
        ip_address(address)
    except ValueError:
        if re.fullmatch(r"[\d.]+", address) or not re.fullmatch(r"[A-Za-z0-9._-]+", address):
            raise ValueError("an address such as 127.0.0.1 or 0.0.0.0 is needed, without scheme or port") from None
    return address


class ServerSettings(SettingsGroup):
    """How the gateway listens and speaks."""

    api_host: Annotated[str, AfterValidator(_listening)] = Field(
        "127.0.0.1",
        validation_alias=AliasChoices("API_HOST", "HOST"),
        description="Address the gateway listens on; 0.0.0.0 for every interface.",
    )
    api_port: Port = Field(
        8000, validation_alias=AliasChoices("API_PORT", "PORT"), description="Port the gateway listens on."
    )
    app_name: str = Field("Maskwright", description="Title shown in the API's documentation.")
    app_version: str = Field(__version__, description="Version shown in the API's documentation.")
    app_debug: bool = Field(
        default=False,
        validation_alias=AliasChoices("APP_DEBUG", "DEBUG"),
        description="Log at DEBUG, and put the text of unexpected errors into the answers.",
    )
    log_level: Annotated[LogLevel, BeforeValidator(_level)] = Field("INFO", description="Lowest level that is logged.")
    log_format: Annotated[Literal["auto", "json", "console"], BeforeValidator(_format)] = Field(
        "auto", description="json: one object a line; console: readable; auto: console on a terminal, else json."
    )
    request_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="Time one request, or one attempt at a job, may take in all, in seconds."
    )
    max_body_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, description="Largest request body, and largest photo that is fetched, in bytes."
    )
    keep_alive_s: float = Field(
        75.0,
        gt=0,
        le=86_400,
        description="How long a connection without a request stays open, in seconds; longer than in the load balancer "
        "before the gateway (AWS 60, nginx 60, Google 600).",
    )
    max_connections: int = Field(
        2500,
        ge=10,
        le=100_000,
        description="Most connections at one time. For one more, the least useful connection is closed of the address "
        "that has most of them.",
    )
    max_pixels: int = Field(100_000_000, ge=1024, description="Largest photo, width × height in pixels.")

    @property
    def local_host(self) -> str:
        """The address at which this machine reaches the gateway."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.api_host, self.api_host)  # noqa: S104 compared, not bound

    @property
    def local_url(self) -> str:
        """The gateway's base URL on this machine."""
        host = f"[{self.local_host}]" if ":" in self.local_host else self.local_host
        return f"http://{host}:{self.api_port}"

    @property
    def effective_log_level(self) -> LogLevel:
        """DEBUG in debug mode, LOG_LEVEL otherwise."""
        return "DEBUG" if self.app_debug else self.log_level


def _root_path(text: str) -> str:
    path = text.rstrip("/")
    if path and not is_prefix(path):
        raise ValueError("a path such as /masks would be right")
    return path


class PublicSettings(SettingsGroup):
    """The gateway behind a proxy."""

    public_url: Annotated[str, AfterValidator(public_endpoint)] = Field(
        "",
        description="Where others reach the gateway, such as https://example.com/masks. Links and Location begin with "
        "it; when not set, with what TRUSTED_PROXIES say, or else the gateway's own address.",
    )
    root_path: Annotated[str, AfterValidator(_root_path)] = Field(
        "",
        description="Path before all of the gateway's paths, such as /masks; PUBLIC_URL may contain it too. A proxy "
        "may pass it on or strip it.",
    )
    trusted_proxies: CommaSeparated[tuple[IPv4Network | IPv6Network, ...]] = Field(
        (),
        description="Addresses and networks whose X-Forwarded-* and Forwarded headers are believed, comma-separated; "
        "nobody's when not set.",
    )

    @model_validator(mode="after")
    def _one_prefix(self) -> Self:
        prefix = urlsplit(self.public_url).path
        if prefix and self.root_path and prefix != self.root_path:
            both = f"PUBLIC_URL={self.public_url} and ROOT_PATH={self.root_path}"
            raise ValueError(f"{both} name different paths; one of them is enough")
        return self

    @property
    def public_prefix(self) -> str:
        """The path before all of ours, without a slash at its end; empty where there is none."""
        return urlsplit(self.public_url).path or self.root_path

    @property
    def public_base(self) -> str:
        """What links begin with, prefix included; empty without PUBLIC_URL."""
        has_path = urlsplit(self.public_url).path
        return self.public_url if has_path or not self.public_url else self.public_url + self.root_path


_MANY_CALLERS = 10
"""This many callers of a tenant may use their whole limit at the same time."""


class AccessSettings(SettingsGroup):
    """Callers: how they prove who they are, and their limits."""

    access: Literal["off", "required", "open"] = Field(
        "off",
        description="required: every request needs a token or an API key; off: no request needs one, and the gateway "
        "listens on loopback alone; open: no request needs one at any address, behind a proxy that checks callers.",
    )
    jwt_secret: SecretStr = Field(
        SecretStr(""), description="Secret of tokens that are signed with HS256, 32 bytes or more."
    )
    jwt_jwks_file: Path | None = Field(
        None, description="File of public keys (JWKS) of whoever signs tokens; read again when it changes."
    )
    jwt_jwks_url: str = Field(
        "",
        pattern=r"^$|^https?://\S+$",
        examples=["a URL such as https://login.example.com/.well-known/jwks.json"],
        description="Address of the issuer's public keys; read each hour, and when a token names a new key.",
    )
    jwt_issuer: str = Field("", description="Issuer (`iss`) that tokens must have; needed for tokens.")
    jwt_audience: str = Field("", description="Audience (`aud`) that tokens must have; needed for tokens.")
    jwt_required_claims: CommaSeparated[tuple[Annotated[str, Field(pattern="^[^=]+=.+$")], ...]] = Field(
        (),
        examples=["name=value, such as repository_owner=acme"],
        description="Claims that tokens must have, as name=value, comma-separated, such as repository_owner=acme; "
        "needed for issuers that serve others too.",
    )
    jwt_tenant_claim: str = Field("tenant", min_length=1, description="Claim of a token that names its tenant.")
    jwt_default_tenant: str = Field(
        "", pattern=f"^$|^{TENANT_PATTERN}$", examples=["acme"], description="Tenant of tokens without that claim."
    )
    jwt_scopes_claim: CommaSeparated[tuple[str, ...]] = Field(
        ("scope", "scp"),
        description="Claims of a token that contain its scopes, comma-separated; a dot leads into a claim, as in "
        "realm_access.roles.",
    )
    jwt_scopes_prefix: str = Field("", description="Prefix of our scopes in these claims, such as maskwright/.")
    jwt_default_scopes: CommaSeparated[tuple[Annotated[str, Field(pattern=f"^(?:{SCOPE_PATTERN})$")], ...]] = Field(
        (),
        examples=["run:*, jobs:* and operate"],
        description="Scopes of tokens that have none of these claims, comma-separated.",
    )
    caller_requests_per_minute: int = Field(
        0,
        ge=0,
        description="Requests that one caller may send in a minute, or all at once; 0: no limit. A caller is a key, or "
        "a token's `sub`; or an address where no request needs these.",
    )
    caller_bytes_per_minute: int = Field(
        0, ge=0, description="Bytes of bodies that one caller may send in a minute, or all at once; 0: no limit."
    )
    tenant_requests_per_minute: int = Field(
        default_factory=lambda values: _MANY_CALLERS * values.get("caller_requests_per_minute", 0),
        ge=0,
        description="Requests that all tokens of a tenant together may send in a minute; 0: no limit; when not set ten "
        "times CALLER_REQUESTS_PER_MINUTE.",
    )
    tenant_bytes_per_minute: int = Field(
        default_factory=lambda values: _MANY_CALLERS * values.get("caller_bytes_per_minute", 0),
        ge=0,
        description="Bytes of bodies that all tokens of a tenant together may send in a minute; 0: no limit; when not "
        "set ten times CALLER_BYTES_PER_MINUTE.",
    )
    allowed_hosts: CommaSeparated[tuple[Annotated[str, AfterValidator(host_pattern)], ...]] = Field(
        (),
        description="Hosts that requests may name beside this machine's own names, comma-separated, such as "
        "masks.example.com or *.example.com; `*` for any. When not set: none with ACCESS=off, else any.",
    )
    allowed_origins: CommaSeparated[tuple[Annotated[str, AfterValidator(origin_pattern)], ...]] = Field(
        (),
        description="Web pages that may use the gateway from a browser (CORS), comma-separated, such as "
        "https://shop.example.com or https://*.example.com; `*` for every page.",
    )
    audit_retention_days: int = Field(
        365,
        ge=0,
        le=36_500,
        description="Days after which entries of the audit log in the database are removed; 0: never.",
    )
    metrics_open: bool = Field(
        default=True,
        description="false: with ACCESS=required, /metrics needs the scope `operate`; PROMETHEUS_PORT never does.",
    )


class MetricsSettings(SettingsGroup):
    """Metrics for Prometheus."""

    prometheus_enabled: bool = Field(
        default=True,
        validation_alias=AliasChoices("PROMETHEUS_ENABLED", "ENABLE_METRICS"),
        description="false: no metrics at /metrics, nor on PROMETHEUS_PORT.",
    )
    prometheus_port: Port | None = Field(
        None, description="Port of the gateway that serves the metrics and nothing else; none when not set."
    )

    @property
    def metrics_port(self) -> int | None:
        """The port that serves nothing but metrics, where there is one."""
        return self.prometheus_port if self.prometheus_enabled else None
