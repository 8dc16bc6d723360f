"""The environment's variables: which setting each gives, which are passed over, and why."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource
from structlog.typing import FilteringBoundLogger
from typing_extensions import override

from gateway.settings.ambient import foreign, is_service_link, near_miss, opens_triton
from gateway.settings.places import without_scheme
from gateway.settings.short_files import read_short
from gateway.text import printable as on_one_line

OTHER_NAMES = ("MASKWRIGHT_URL", "MASKWRIGHT_TOKEN", "MASKWRIGHT_PLAIN_HTTP")
"""Variables of the command line, which are no settings."""
_BLANK = " \t\r\n\v\f\u00a0\u200b\ufeff"
_QUOTES = ('""', "''", "“”", "‘’", "„“", "„”", "«»")  # noqa: RUF001 meant so
"""The last of them, as a text processor makes them of the first."""
_QUOTED_ITEMS = re.compile(r"""(["'])[^"']*\1(\s*,\s*(["'])[^"']*\3)+""")
_SHOWN = 120
_FILE = "_FILE"


class SettingsError(ValueError):
    """The environment holds values that cannot be used; the message names each of them."""


@dataclass(frozen=True)
class Given:
    """A setting's value as text, the variable that gives it as it is really spelt, and where that stands."""

    variable: str
    value: str
    origin: str


@dataclass(frozen=True)
class Environment:
    """What is given, by the settings' names; and a line for each variable that was passed over or looks wrong."""

    given: Mapping[str, Given]
    remarks: Sequence[str]


def variable_names(name: str, field: FieldInfo) -> Sequence[str]:
    """Environment variables that set a field, the preferred one first."""
    alias = field.validation_alias
    return [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [name.upper()]


def read_environment(fields: Mapping[str, FieldInfo], environ: Mapping[str, str] | None = None) -> Environment:
    """Read a setting from the first of its variables that has a value of ours; `environ`: the process's if not given.

    Any case of a name counts, its own first. White space, a comment and quotes around a value, as env files leave them,
    are no part of it; nothing is taken from a secret that is no URL. A secret may also stand in a file that NAME_FILE
    names. Raises SettingsError where that cannot be read.
    """
    found = _by_name(os.environ if environ is None else environ)
    given: dict[str, Given] = {}
    remarks: list[str] = []
    for name, field in fields.items():
        for variable, value in _values(name, field, found):
            if (what := foreign(variable.upper(), value)) is None:
                given[name] = Given(variable, value, f"environment: {variable}")
                remarks.extend(_quoted(variable, value, field))
                break
            remarks.append(f"{variable}={shown(value, field)} is not used: {what}")
    remarks.extend(_part_addresses(given))
    return Environment(given, [*remarks, *_open_doors(found), *_near_misses(fields, found)])


def log_remarks(log: FilteringBoundLogger, fields: Mapping[str, FieldInfo]) -> None:
    """A line for each variable that was passed over, or looks wrong."""
    for remark in read_environment(fields).remarks:
        log.warning(remark)


class EnvironmentSource(PydanticBaseSettingsSource):
    """The values of `read_environment` for pydantic-settings."""

    def __call__(self) -> dict[str, object]:
        """Texts by the settings' names."""
        fields = self.settings_cls.model_fields
        return {name: given.value for name, given in read_environment(fields).given.items()}

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Nothing: the environment is read as a whole."""
        return None, field_name, False


def without_line_end(secret: str) -> str:
    """A secret as it is meant: editors, `echo` and files end it with a line end that is no part of it."""
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
    """The text on one line, odd letters escaped, and cut where it is long."""
    return on_one_line(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _by_name(environ: Mapping[str, str]) -> Mapping[str, tuple[str, str]]:
    """Names as spelt and values, by the name in capitals; where several differ in case, the one in capitals."""
    spelt = sorted(environ.items(), key=lambda item: item[0] == item[0].upper())
    return {_bare(name).upper(): (_bare(name), value) for name, value in spelt}


def _bare(name: str) -> str:
    """A name without what a shell's file has before it, and without a byte order mark; some readers keep both."""
    return name.strip(_BLANK).removeprefix("export ").strip(_BLANK)


def _values(name: str, field: FieldInfo, found: Mapping[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The variables of a setting that are not empty, and their values."""
    for variable in variable_names(name, field):
        sources = [found.get(variable, ("", ""))]
        if is_secret(field):
            sources.append(_in_file(*found.get(f"{variable}{_FILE}", ("", ""))))
        for spelt, value in sources:
            if cleaned := _cleaned(value, variable):
                yield spelt, value if is_secret(field) and "://" not in cleaned else cleaned


def _in_file(variable: str, path: str) -> tuple[str, str]:
    """The variable, and what the file that it names holds. Raises SettingsError."""
    if not (cleaned := _cleaned(path)):
        return variable, ""
    if not Path(cleaned).is_absolute():
        raise SettingsError(f"{variable}={shown(cleaned)}: an absolute path is needed")
    try:
        return variable, read_short(Path(cleaned)).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise SettingsError(f"{variable}={shown(cleaned)}: {getattr(error, 'strerror', None) or error}") from error


def _cleaned(value: str, variable: str = "") -> str:
    """The value itself; a line that was pasted whole begins with its variable."""
    pasted = rf"^(export\s+)?{variable}\s*=\s*" if variable else "^"
    text = re.sub(pasted, "", value.strip(_BLANK), count=1, flags=re.IGNORECASE)
    if _QUOTED_ITEMS.fullmatch(text):
        return re.sub(r"[\"']", "", text)
    if not _is_quoted(text):
        text = re.sub(r"(^|\s+)#(\s.*)?$", "", text, flags=re.DOTALL).strip(_BLANK)
    return text[1:-1].strip(_BLANK) if _is_quoted(text) else text


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] + text[-1] in _QUOTES


def _part_addresses(given: dict[str, Given]) -> Iterator[str]:
    """A URL, as hosters show it, says two settings: where a server is, and how it is spoken to."""
    for name, said in list(given.items()):
        place, told = without_scheme(name, said.value)
        given[name] = replace(said, value=place)
        for other, value in told.items():
            own = given.setdefault(other, Given(other.upper(), value, said.origin))
            if own.value.upper() != value.upper():
                yield f"{said.variable} says {other.upper()}={value}, but {own.variable}={own.value} counts"


def _quoted(variable: str, value: str, field: FieldInfo) -> Iterator[str]:
    """A password may be anything, so nothing is taken from it; but the person who set it may not know."""
    if is_secret(field) and without_line_end(value) != _cleaned(value):
        yield (
            f"{variable}: quotes, a comment or spaces around its value are taken as a part of the secret; leave them "
            "out if they are none"
        )


def _open_doors(found: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    for name, (spelt, value) in found.items():
        if opens_triton(name, _cleaned(value)):
            yield (
                f"{spelt}={shown(value)} is not used: the embedded Triton listens on loopback alone, as it would end "
                "where many callers hang up at its port; TRITON_GRPC_URL names a Triton of your own"
            )


def _near_misses(fields: Mapping[str, FieldInfo], found: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    named = [(variable, field) for name, field in fields.items() for variable in variable_names(name, field)]
    ours = [variable for variable, _ in named]
    ours += [f"{variable}{_FILE}" for variable, field in named if is_secret(field)]
    for name, (spelt, value) in found.items():
        known = name in ours or name in OTHER_NAMES or is_service_link(name)
        if known or not name.isascii() or foreign("PORT", value):
            continue
        if meant := near_miss(name, ours):
            yield f"{spelt} is not used: Maskwright knows no such variable; did you mean {meant}?"
