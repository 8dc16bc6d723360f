"""Where each setting's value comes from, for people; secrets are not shown."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from gateway.settings.environment import printable, shown, variable_names
from gateway.settings.pipeline_file import file_settings
from gateway.settings.resolved import Resolved, resolve
from gateway.settings.settings import Settings

_OF_SERVERS = ("postgres_dsn", "minio_endpoint", "minio_access_key", "minio_secret_key", "kafka_bootstrap_servers")
_PASSWORD_IN_QUERY = re.compile(r"(password=)[^&\s]*", re.IGNORECASE)


@dataclass(frozen=True)
class Origin:
    """A setting by the variable that sets it, its value for people, and where that comes from.

    `origin` is `environment: NAME`, `kept by `maskwright up` in FOLDER`, `embedded: the stack in FOLDER`, `embedded`
    for a server that `maskwright up` would start, `PIPELINE_CONFIG: FILE`, or `default`.
    """

    name: str
    value: str
    origin: str


@dataclass(frozen=True)
class Origins:
    """Every setting in the class's order; and lines about what was passed over, or contradicts another."""

    settings: Sequence[Origin]
    remarks: Sequence[str]


def origins() -> Origins:
    """Those of a command in this shell. Raises SettingsError."""
    resolved = resolve()
    return Origins(tuple(_each(resolved)), (*resolved.conflicts, *resolved.remarks))


def masked(value: object) -> str:
    """A setting's value as text without its secrets: of an address the password alone is hidden."""
    if isinstance(value, SecretStr):
        return _masked_secret(value.get_secret_value())
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "not set"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return "not set" if value is None or not text else shown(text)


def _each(resolved: Resolved) -> Iterator[Origin]:
    file = resolved.settings.pipeline_config
    in_file = file_settings(file) if file else {}
    for name, field in Settings.model_fields.items():
        origin = _origin(name, resolved, file if name in in_file else None)
        yield Origin(_variable(name, field, resolved), masked(getattr(resolved.settings, name)), origin)


def _variable(name: str, field: FieldInfo, resolved: Resolved) -> str:
    given = resolved.given.get(name)
    return given.variable if given else variable_names(name, field)[0]


def _origin(name: str, resolved: Resolved, file: Path | None) -> str:
    if (given := resolved.given.get(name)) is not None:
        return given.origin
    if file is not None:
        return f"PIPELINE_CONFIG: {file}"
    value = getattr(resolved.settings, name)
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return "embedded" if name in _OF_SERVERS and not text and resolved.settings.db_use_database else "default"


def _masked_secret(secret: str) -> str:
    if not secret:
        return "not set"
    address = re.fullmatch(r"([a-z][a-z0-9+.-]*://)(?:([^:/@]*)(:.*)?@)?([^@]*)", secret, re.IGNORECASE | re.DOTALL)
    if address is None:
        return "…"
    login = f"{address[2]}{':…' if address[3] else ''}@" if address[2] is not None else ""
    place = _PASSWORD_IN_QUERY.sub(r"\1…", address[4])
    return printable(f"{address[1]}{login}{place}")
