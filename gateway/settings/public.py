"""Where others reach the gateway, and whom it believes about that."""

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.settings.fields import CommaSeparated, SettingsGroup

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*|\[[0-9a-f:.]{2,45}\])")
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]{1,100}){1,10}")
_PORTS = {"http": 80, "https": 443}
_RIGHT = "a URL such as https://masks.example.com or https://example.com/masks would be right"


def is_prefix(path: str) -> bool:
    """Whether a path, such as /masks, may stand before all of ours: plain segments, without a slash at its end."""
    return _PREFIX.fullmatch(path) is not None


def origin(scheme: str, host: str, port: int | None = None) -> str | None:
    """scheme://host[:port] in small letters, without the port that goes without saying; None where it is none."""
    name = host.lower()
    if scheme not in _PORTS or not _HOST.fullmatch(name) or not (port is None or 0 < port < 2**16):
        return None
    return f"{scheme}://{name}" + (f":{port}" if port and port != _PORTS[scheme] else "")


def public_endpoint(text: str) -> str:
    """scheme://host[:port][/prefix] without a slash at its end, or nothing. Raises ValueError for anything else."""
    if not text:
        return text
    try:
        url = urlsplit(text)
        start = _origin_of(url)
    except ValueError as error:
        raise ValueError(f"{error}; {_RIGHT}") from error
    prefix = url.path.rstrip("/")
    if start is None or url.query or url.fragment or "@" in url.netloc or (prefix and not is_prefix(prefix)):
        raise ValueError(_RIGHT)
    return start + prefix


def _origin_of(url: SplitResult) -> str | None:
    host = url.hostname or ""
    return origin(url.scheme, f"[{host}]" if ":" in host else host, url.port)


def _root_path(text: str) -> str:
    path = text.rstrip("/")
    if path and not is_prefix(path):
        raise ValueError("a path such as /masks would be right")
    return path


class PublicSettings(SettingsGroup):
    """The gateway behind a proxy."""

    public_url: Annotated[str, AfterValidator(public_endpoint)] = Field(
        "",
        description="Where others reach the gateway, such as https://example.com/masks: what links and Location begin "
        "with. When not set, what TRUSTED_PROXIES say, else the gateway's own address.",
    )
    root_path: Annotated[str, AfterValidator(_root_path)] = Field(
        "",
        description="Path before all of the gateway's, such as /masks; PUBLIC_URL may hold it too. A proxy may pass it "
        "on or strip it.",
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
        """What links begin with, prefix and all; empty without PUBLIC_URL."""
        has_path = urlsplit(self.public_url).path
        return self.public_url if has_path or not self.public_url else self.public_url + self.root_path
