"""The base class of all groups of settings; types and checks of their values; how a value is shown."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
)
from pydantic.fields import FieldInfo

from gateway.hosts import WebOrigin
from gateway.untrusted_text import printable as on_one_line
from gateway.untrusted_text import split_list

T = TypeVar("T")

_SHOWN = 120
"""Letters of a value that a message shows."""
_SCHEME = re.compile(r"([A-Za-z][\w+.-]*):/{2,}")
_PLACE = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[\w.-]+)(?::([0-9]{1,6}))?")
_HIGHEST_PORT = 65_535
_NO_PORT = f"a port is a number from 1 to {_HIGHEST_PORT}"
_MISTAKES = (
    (re.compile("@"), "a login has no place in it"),
    (_SCHEME, "such a scheme has no place in it"),
    (re.compile(r"[/?#\\]"), "a path has no place in it"),
    (re.compile(r"[\s,;]"), "this is more than one address"),
    (re.compile(r"^[^\[]*:.*:"), "an IPv6 address stands in brackets, as in [fd00::1]:9000"),
    (re.compile(r"^:|^$|[^\w.:%\[\]-]"), "this names no host"),
)
_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]{1,100}){1,10}")
_RIGHT = "a URL such as https://masks.example.com or https://example.com/masks would be right"


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
Port = Annotated[int, Field(ge=1, le=65535)]
CommaSeparated = Annotated[T, BeforeValidator(split_list)]
"""A tuple given as comma-separated text."""


class SettingsError(ValueError):
    """The environment has values that cannot be used; the message names each of them."""


class SettingsGroup(BaseModel):
    """A part of the configuration; each field's description says what it does and its unit."""

    model_config = ConfigDict(
        frozen=True, populate_by_name=True, extra="ignore", validate_default=True, loc_by_alias=False
    )

    @field_validator("*")
    @classmethod
    def _of_secrets(cls, value: object) -> object:
        """Remove the line end of every secret, wherever it comes from."""
        return SecretStr(without_line_end(value.get_secret_value())) if isinstance(value, SecretStr) else value


def without_line_end(secret: str) -> str:
    """A secret without the line end that editors, `echo` and files add."""
    return secret.rstrip("\r\n")


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting's value must not be shown."""
    return field.annotation is SecretStr


def shown(value: str, field: FieldInfo | None = None) -> str:
    """A value in a message: printable, not too long, and without secrets."""
    if field is not None and is_secret(field):
        return "…"
    return printable(re.sub(r"(//|^).*@", r"\1…@", value, count=1, flags=re.DOTALL))


def printable(text: str) -> str:
    """The text on one line, its unprintable letters escaped, and cut where it is long."""
    return on_one_line(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def upper(value: object) -> object:
    """Text in capitals, so that any case is accepted; anything else as it is."""
    return value.upper() if isinstance(value, str) else value


_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "minio_endpoint": {"http": "false", "https": "true"},
    "kafka_bootstrap_servers": {
        **{name.lower(): name for name in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")},
        "kafka+ssl": "SSL",
        "kafka": "",
        "tcp": "",
    },
    "triton_grpc_url": dict.fromkeys(("grpc", "http", "tcp", "dns"), ""),
    "db_host": {"tcp": ""},
}
"""Schemes that may stand before a setting's address, and what each says about the setting in `_TOLD`."""
_TOLD = {"minio_endpoint": "minio_secure", "kafka_bootstrap_servers": "kafka_security_protocol"}


def without_scheme(name: str, value: str) -> tuple[str, Mapping[str, str]]:
    """A setting's address without its scheme and final slash, and the other settings that the scheme gives.

    An unknown scheme stays, so that the setting's own check refuses it.
    """
    if name not in _SCHEMES or value.startswith("/"):  # a folder of sockets
        return value, {}
    known, parts = _SCHEMES[name], [_parted(one) for one in value.split(",")]
    found = {scheme for scheme, _ in parts if scheme}
    if len(found) > 1 or not found <= known.keys():
        return value, {}
    told = known.get("".join(found))
    return ",".join(place for _, place in parts), {_TOLD[name]: told} if told else {}


def place_check(right: str, *, port_needed: bool = False, several: bool = False) -> Callable[[str], str]:
    """A validator of an address, or of several between commas; `right` is the example that its ValueErrors show."""

    def check(text: str) -> str:
        for place in text.split(",") if several else [text]:
            if place.strip() and (wrong := _wrong(place.strip(), port_needed=port_needed)):
                raise ValueError(f"{wrong}; {right} would be right")
        return text

    return check


def web_address(text: str) -> str:
    """A validator of a URL of HTTP or HTTPS. Raises ValueError."""
    if text and not re.match(r"https?://[^\s/]", text, re.IGNORECASE):
        raise ValueError("a URL such as https://assets.example.com would be right, with http:// or https:// before it")
    if re.search(r"\s", text):
        raise ValueError("a URL has no spaces in it")
    return text


def _parted(text: str) -> tuple[str, str]:
    """The scheme in small letters, or nothing, and what follows it."""
    text = text.strip()
    scheme = _SCHEME.match(text)
    return (scheme[1].lower(), text[scheme.end() :].rstrip("/")) if scheme else ("", text.rstrip("/"))


def _wrong(place: str, *, port_needed: bool) -> str:
    """What is wrong with an address; empty where it is right. The address is not repeated: it may hold a password."""
    for sign, mistake in _MISTAKES:
        if sign.search(place):
            return mistake
    found = _PLACE.fullmatch(place)
    if found is None or not 0 < int(found[2] or 1) <= _HIGHEST_PORT:
        return _NO_PORT
    return "" if found[2] or not port_needed else "this names no port"


def is_prefix(path: str) -> bool:
    """Whether a path, such as /masks, may stand before all of ours: plain segments, and no slash at its end."""
    return _PREFIX.fullmatch(path) is not None


def public_endpoint(text: str) -> str:
    """scheme://host[:port][/prefix] without a slash at its end, or nothing. Raises ValueError for anything else."""
    if not text:
        return text
    try:
        url = urlsplit(text)
        origin = WebOrigin.parse(f"{url.scheme}://{url.netloc}")
    except ValueError as error:
        raise ValueError(_RIGHT) from error
    prefix = url.path.rstrip("/")
    is_more = url.port == 0 or url.query or url.fragment or (prefix and not is_prefix(prefix))
    if origin.scheme not in {"http", "https"} or is_more:
        raise ValueError(_RIGHT)
    return f"{origin}{prefix}"


SCOPE_PATTERN = r"run:(?:\*|[a-z0-9_]{1,64})|jobs:(?:read|write|\*)|operate"
"""gateway.access.callers says what each scope allows."""
TENANT_PATTERN = r"[a-z0-9][a-z0-9_-]{0,62}"
"""It can be part of an S3 key, a column and a log line without escapes."""


def is_scope(text: str) -> bool:
    """Whether there is such a scope."""
    return re.fullmatch(SCOPE_PATTERN, text) is not None


def is_tenant(text: str) -> bool:
    """Whether a text can name a tenant; callers without a tenant have the empty name."""
    return not text or re.fullmatch(TENANT_PATTERN, text) is not None
