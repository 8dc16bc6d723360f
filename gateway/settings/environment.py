"""The environment: which variables give settings, which are ignored, and messages about wrong values.

And the blur pipeline's file, which gives settings too.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from structlog.typing import FilteringBoundLogger

from gateway.hosts import is_loopback
from gateway.settings.fields import SettingsError, is_secret, shown, without_line_end, without_scheme
from gateway.untrusted_text import read_json

_OTHER_NAMES = ("MASKWRIGHT_URL", "MASKWRIGHT_TOKEN", "MASKWRIGHT_PLAIN_HTTP")
"""Variables of the command line that are not settings."""
_BLANK = " \t\r\n\v\f\u00a0\u200b\ufeff"
_QUOTES = ('""', "''", "“”", "‘’", "„“", "„”", "«»")  # noqa: RUF001 these very quotes
"""The first two, and what text processors put in their place."""
_QUOTED_ITEMS = re.compile(r"""(["'])[^"']*\1(\s*,\s*(["'])[^"']*\3)+""")
_FILE = "_FILE"
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)|_ENV_")
"""Names of variables that Kubernetes makes for a service, and Docker for a link."""
_TRITONS_HOST = re.compile(
    r"TRITON(SERVER)?(_HTTP|_GRPC|_METRICS)?(_LISTEN|_BIND)?_(HOST|ADDRESS|ADDR)|TRITON(SERVER)?_BIND"
)
_LONG_NAME = 8
"""Names with fewer letters are never taken for a misspelt name of ours."""
_SIMILAR = 0.9
"""From this ratio of difflib on, a name is nearly ours: one wrong letter of ten."""
_ABSOLUTE_PATH = "a path, which another program left there"

_PATHS = {r"\.?/": _ABSOLUTE_PATH}
_FOREIGN: Mapping[str, tuple[Mapping[str, str], str]] = {
    "PORT": (
        {
            r"[a-z][a-z0-9+.-]*://|([\w-]+\.[\w.-]+|\[.*\]):\d+\Z": (
                "the address of a service, as Kubernetes and Docker set it"
            ),
            r"[/\\]|\./|unix:": "a socket's or a pipe's path, as other servers take it",
        },
        "a number from 1 to 65535",
    ),
    "HOST": (
        {
            r"(?!localhost|[\d.:]+\Z|\[?[\da-f.]*:[\da-f:.]*(%[\w.-]+)?\]?\Z)": (
                "the name of a machine, or of its kind, as shells, conda and compilers set it"
            )
        },
        "API_HOST with an address such as 0.0.0.0",
    ),
    "DEBUG": (
        {r"(?!([01tfyn]|true|false|yes|no|on|off)\Z)": "a choice of what to debug, as Node and compilers read it"},
        "true or false, or APP_DEBUG",
    ),
    "PROFILE": (
        {
            r"/": _ABSOLUTE_PATH,
            r"(debug|release|dev|bench|test|default|development|staging|prod|production|local|ci)\Z": (
                "how other programs are built or run"
            ),
        },
        "lite, full or auto",
    ),
    "DATABASE_URL": (
        {
            r"(jdbc:)?(mysql2?|mariadb|sqlite3?|file|mongodb|rediss?|mssql|sqlserver|oracle|prisma|libsql|duckdb|h2|db2"
            r"|clickhouse|snowflake|bigquery|trino|firebird|influxdb|neo4j|bolt|amqps?|spatialite|mysqlgis)"
            r"(\+[\w.-]+)?:": "the address of another kind of database"
        },
        "one such as postgresql://user:password@host:5432/database",
    ),
    "LOG_LEVEL": ({r".*[=,:*]": "a list of levels by module, as Rust and Node read it"}, "one level such as INFO"),
    "LOG_FORMAT": (
        {
            r"(logfmt|common|combined|default|cef|gelf|syslog)\Z|.*[%{$]": (
                "the pattern of a line, as other programs read it"
            )
        },
        "json, console or auto",
    ),
    "BASE_URL": (_PATHS, "a URL such as https://masks.example.com"),
    "PUBLIC_URL": (_PATHS, "a URL such as https://example.com/masks"),
    "APP_NAME": (_PATHS, "a title"),
}
"""How values of other programs look: patterns, what such a value is, and what would be right. `PORT` counts for every
name that ends in it."""


@dataclass(frozen=True)
class Given:
    """A setting's value as text, the variable that gives it, as it is spelt there, and where the variable was found."""

    variable: str
    value: str
    origin: str


@dataclass(frozen=True)
class Environment:
    """The values by the settings' names, and a line for each variable that was ignored or looks wrong."""

    given: Mapping[str, Given]
    remarks: Sequence[str]


def variable_names(name: str, field: FieldInfo) -> Sequence[str]:
    """Environment variables that set a field, the preferred one first."""
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]


def read_environment(fields: Mapping[str, FieldInfo], environ: Mapping[str, str] | None = None) -> Environment:
    """Each setting, from the first of its variables with a value for us; `environ`: the process's if not given.

    A name may have small letters. White space, a comment and quotes around a value, which env files leave there, are
    removed; from a secret only if it is a URL. A secret may also be in a file that NAME_FILE names. Raises
    SettingsError if that file cannot be read.
    """
    found = _by_name(os.environ if environ is None else environ)
    given: dict[str, Given] = {}
    remarks: list[str] = []
    for name, field in fields.items():
        for variable, value in _values(name, field, found):
            if (what := _foreign(variable.upper(), value)) is None:
                given[name] = Given(variable, value, f"environment: {variable}")
                remarks.extend(_quotes_in_secret(variable, value, field))
                break
            remarks.append(f"{variable}={shown(value, field)} is not used: {what}")
    remarks.extend(_split_addresses(given))
    return Environment(given, [*remarks, *_would_open_triton(found), *_near_misses(fields, found)])


def log_remarks(log: FilteringBoundLogger, fields: Mapping[str, FieldInfo]) -> None:
    """Log a line for each variable that was ignored or looks wrong."""
    for remark in read_environment(fields).remarks:
        log.warning(remark)


def _by_name(environ: Mapping[str, str]) -> Mapping[str, tuple[str, str]]:
    """Names as spelt, and values, by the name in capitals. If two differ only in case, the one in capitals counts."""
    spelt = sorted(environ.items(), key=lambda item: item[0] == item[0].upper())
    return {_bare(name).upper(): (_bare(name), value) for name, value in spelt}


def _bare(name: str) -> str:
    """A name without `export` or a byte order mark before it, which some readers of env files leave there."""
    return name.strip(_BLANK).removeprefix("export ").strip(_BLANK)


def _values(name: str, field: FieldInfo, found: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The variables of a setting that have a value, and the values."""
    for variable in variable_names(name, field):
        sources = [found.get(variable, ("", ""))]
        if is_secret(field):
            sources.append(_in_file(*found.get(f"{variable}{_FILE}", ("", ""))))
        for spelt, value in sources:
            if cleaned := _cleaned(value, variable):
                yield spelt, value if is_secret(field) and "://" not in cleaned else cleaned


def _in_file(variable: str, path: str) -> tuple[str, str]:
    """The variable, and the text of the file that it names. Raises SettingsError."""
    if not (cleaned := _cleaned(path)):
        return variable, ""
    if not Path(cleaned).is_absolute():
        raise SettingsError(f"{variable}={shown(cleaned)}: an absolute path is needed")
    try:
        return variable, read_short(Path(cleaned)).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{variable}={shown(cleaned)}: {getattr(error, 'strerror', None) or error}") from error


def _cleaned(value: str, variable: str = "") -> str:
    """The value alone, also where the whole line NAME=value was pasted."""
    pasted = rf"^(export\s+)?{variable}\s*=\s*" if variable else "^"
    text = re.sub(pasted, "", value.strip(_BLANK), count=1, flags=re.IGNORECASE)
    if _QUOTED_ITEMS.fullmatch(text):
        return re.sub(r"[\"']", "", text)
    if not _is_quoted(text):
        text = re.sub(r"(^|\s+)#(\s.*)?$", "", text, flags=re.DOTALL).strip(_BLANK)
    return text[1:-1].strip(_BLANK) if _is_quoted(text) else text


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] + text[-1] in _QUOTES


def _split_addresses(given: dict[str, Given]) -> Iterator[str]:
    """Take the scheme off each address, and set the other setting that it tells; yield a line where they differ."""
    for name, said in list(given.items()):
        place, told = without_scheme(name, said.value)
        given[name] = replace(said, value=place)
        for other, value in told.items():
            own = given.setdefault(other, Given(other.upper(), value, said.origin))
            if own.value.upper() != value.upper():
                yield f"{said.variable} says {other.upper()}={value}, but {own.variable}={own.value} counts"


def _quotes_in_secret(variable: str, value: str, field: FieldInfo) -> Iterator[str]:
    """A line where quotes or spaces are around a secret: they stay, because a secret may contain any letter."""
    if is_secret(field) and without_line_end(value) != _cleaned(value):
        yield (
            f"{variable}: quotes, a comment or spaces around its value are taken as a part of the secret; leave them "
            "out if they are none"
        )


def _would_open_triton(found: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for name, (spelt, value) in found.items():
        host = _cleaned(value)
        if _TRITONS_HOST.fullmatch(name) and not is_loopback(re.sub(r"^(\[.*\]|[^:]*):\d+$", r"\1", host)):
            yield (
                f"{spelt}={shown(value)} is not used: the embedded Triton listens on loopback alone, as it would end "
                "where many callers hang up at its port; TRITON_GRPC_URL names a Triton of your own"
            )


def _near_misses(fields: Mapping[str, FieldInfo], found: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    named = [(variable, field) for name, field in fields.items() for variable in variable_names(name, field)]
    ours = [variable for variable, _ in named]
    ours += [f"{variable}{_FILE}" for variable, field in named if is_secret(field)]
    for name, (spelt, value) in found.items():
        known = name in ours or name in _OTHER_NAMES or _SERVICE_LINK.search(name)
        if known or not name.isascii() or _foreign("PORT", value):
            continue
        if meant := _near_miss(name, ours):
            yield f"{spelt} is not used: Maskwright knows no such variable; did you mean {meant}?"


def complaints(error: ValidationError, fields: Mapping[str, FieldInfo], given: Mapping[str, Given]) -> list[str]:
    """A line for each bad variable: its name as it was set, its value, and what would be right."""
    found: dict[str, list[str]] = {}
    for item in error.errors(include_url=False):
        if item["type"] != "default_factory_not_called":
            name = str(item["loc"][0]) if item["loc"] else ""
            found.setdefault(_variable_and_value(name, item["input"], fields, given), []).append(
                _message(item, fields.get(name))
            )
    return [f"{start}{'; '.join(dict.fromkeys(messages))}" for start, messages in found.items()]


def _variable_and_value(name: str, value: object, fields: Mapping[str, FieldInfo], given: Mapping[str, Given]) -> str:
    """The variable and its value, and where it was found if that is not this environment."""
    if not name:
        return ""
    said = given.get(name) or Given(variable_names(name, fields[name])[0], str(value), "")
    where = "" if said.origin.startswith("environment") or not said.origin else f" ({said.origin})"
    return f"{said.variable}={shown(said.value, fields[name])}{where}: "


def _message(item: ErrorDetails, field: FieldInfo | None) -> str:
    """Pydantic's message without its Python words; an example instead of a pattern."""
    if item["type"] == "string_pattern_mismatch" and field and field.examples:
        return f"{field.examples[0]} would be right"
    return item["msg"].removeprefix("Value error, ")


def _foreign(variable: str, value: str) -> str | None:
    """What a value of another program is, and what would be right; None for a value that is for us, even a wrong one.

    `variable` is in capitals; `value` is not empty.
    """
    signs, right = _FOREIGN.get("PORT" if variable.endswith("PORT") else variable, ({}, ""))
    found = (what for sign, what in signs.items() if re.match(sign, value, re.IGNORECASE | re.DOTALL))
    what = next(found, None)
    return f"it is {what}; {right} would be right" if what else None


def _near_miss(name: str, ours: Sequence[str]) -> str | None:
    """Our variable that was probably meant; None unless several of ours begin with the same word.

    Its name is nearly the same, or has the same words in another order, or MASKWRIGHT_ stands before it.
    """
    if name.startswith("MASKWRIGHT_"):
        rest = name.removeprefix("MASKWRIGHT_")
        return rest if rest in ours else None
    words = name.split("_")
    near = [known for known in ours if known.split("_")[0] == words[0]]
    if len(name) < _LONG_NAME or len(near) == 1:
        return None
    same_words = [known for known in near if sorted(known.split("_")) == sorted(words)]
    return next(iter(same_words or get_close_matches(name, near, cutoff=_SIMILAR)), None)


_MOST_BYTES = 2**20
"""The largest file of settings, or of a secret."""


def read_short(path: Path) -> bytes:
    """The content of a short file, or of a pipe that a shell made for a secret.

    Raises OSError; ValueError where it is long, or a pipe that nobody writes to.
    """
    waits = os.O_NONBLOCK if path.is_fifo() and not str(path.resolve()).startswith("/proc/") else 0
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC | waits), "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"it holds more than {_MOST_BYTES >> 20} MiB")
    if waits and not content:
        raise ValueError("it is a pipe that nobody writes to")
    return content


class _PipelineFile(BaseModel):
    """The values that count of the blur pipeline's file, by the names of our settings."""

    model_config = ConfigDict(strict=True)

    redis_url: str | None = None
    worker_processes: int | None = Field(None, validation_alias="num_workers")
    queue_max_size: int | None = Field(None, validation_alias="max_queue_size")
    minio_access_key: str | None = Field(None, validation_alias=AliasPath("aws_config", "aws_access_key_id"))
    minio_secret_key: str | None = Field(None, validation_alias=AliasPath("aws_config", "aws_secret_access_key"))
    minio_region: str | None = Field(None, validation_alias=AliasPath("aws_config", "region_name"))
    minio_bucket: str | None = Field(None, validation_alias=AliasPath("aws_config", "bucket_name"))
    aws_config: dict[str, object] = Field({}, exclude=True)


def file_settings(file: Given | None) -> dict[str, object]:
    """The values of the blur pipeline's file, by the settings' names; none without PIPELINE_CONFIG.

    Raises SettingsError where it cannot be read.
    """
    if file is None:
        return {}
    said, path = f"PIPELINE_CONFIG={shown(file.value)}", Path(file.value)
    try:
        return _PipelineFile.model_validate(read_json(read_short(path))).model_dump(exclude_none=True)
    except OSError as error:
        raise SettingsError(f"{said}: {error.strerror}") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}" for one in error.errors())
        raise SettingsError(f"{said}: {wrong}") from error
    except ValueError as error:
        raise SettingsError(f"{said}: the file: Invalid JSON: {error}") from error
