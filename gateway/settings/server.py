"""The gateway's own address, its logs, and what it accepts."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field

from gateway import __version__
from gateway.settings.fields import LogLevel, Port, SettingsGroup, upper

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
    log_level: Annotated[LogLevel, BeforeValidator(_level)] = Field("INFO", description="Least level that is logged.")
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
        description="How long a connection is kept for a next request, in seconds; longer than a load balancer before "
        "the gateway keeps it (AWS 60, nginx 60, Google 600).",
    )
    max_connections: int = Field(
        2500,
        ge=10,
        le=100_000,
        description="Connections in all; where one more comes, the one that is missed least is closed, of the address "
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
