"""Values that other programs leave in the environment under names of ours, and names that miss ours by a little."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address

_BOOLEANS = frozenset({"0", "1", "t", "f", "y", "n", "true", "false", "yes", "no", "on", "off"})
_PROFILES = frozenset(
    {
        "debug",
        "release",
        "dev",
        "bench",
        "test",
        "default",
        "development",
        "staging",
        "prod",
        "production",
        "local",
        "ci",
    }
)
_DATABASES = re.compile(
    r"(jdbc:)?(mysql2?|mariadb|sqlite3?|file|mongodb|rediss?|mssql|sqlserver|oracle|prisma|libsql|duckdb|clickhouse|snowflake"
    r"|bigquery|trino|h2|db2|firebird|influxdb|neo4j|bolt|amqps?|spatialite|mysqlgis)(\+[\w.-]+)?:",
    re.IGNORECASE,
)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_|$)|_PORT_\d+_(TCP|UDP|SCTP)(_|$)|_ENV_")
"""Names that Kubernetes makes of a service's, and Docker of a link's."""
_TRITONS_HOST = re.compile(
    r"TRITON(SERVER)?(_HTTP|_GRPC|_METRICS)?(_LISTEN|_BIND)?_(HOST|ADDRESS|ADDR)|TRITON(SERVER)?_BIND"
)
_LONG_NAME = 8

_ABSOLUTE_PATH = "a path, which another program left there"


def _port(value: str) -> str:
    if _URL.match(value) or re.fullmatch(r"([\w-]+\.[\w.-]+|\[.*\]):\d+", value):
        return "the address of a service, as Kubernetes and Docker set it"
    return "a socket's or a pipe's path, as other servers take it" if re.match(r"[/\\]|\./|unix:", value) else ""


def _host(value: str) -> str:
    """`HOST` is also conda's and a compiler's name of the machine's kind, and a shell's name of the machine."""
    if _is_address(value) or value.lower().startswith("localhost") or re.fullmatch(r"[\d.:]+", value):
        return ""
    return "the name of a machine, or of its kind, as shells, conda and compilers set it"


def _debug(value: str) -> str:
    return "" if value.lower() in _BOOLEANS else "a choice of what to debug, as Node and compilers read it"


def _profile(value: str) -> str:
    if value.startswith("/"):
        return _ABSOLUTE_PATH
    return "how other programs are built or run" if value.lower() in _PROFILES else ""


def _database(value: str) -> str:
    return "the address of another kind of database" if _DATABASES.match(value) else ""


def _log_level(value: str) -> str:
    return "a list of levels by module, as Rust and Node read it" if re.search(r"[=,:*]", value) else ""


def _log_format(value: str) -> str:
    named = value.lower() in {"logfmt", "common", "combined", "default", "cef", "gelf", "syslog"}
    return "the pattern of a line, as other programs read it" if named or re.search(r"[%{$]", value) else ""


def _path(value: str) -> str:
    return _ABSOLUTE_PATH if value.startswith(("/", "./")) else ""


_RULES: Mapping[str, tuple[Callable[[str], str], str]] = {
    "HOST": (_host, "API_HOST with an address such as 0.0.0.0"),
    "DEBUG": (_debug, "true or false, or APP_DEBUG"),
    "PROFILE": (_profile, "lite, full or auto"),
    "DATABASE_URL": (_database, "one such as postgresql://user:password@host:5432/database"),
    "LOG_LEVEL": (_log_level, "one level such as INFO"),
    "LOG_FORMAT": (_log_format, "json, console or auto"),
    "BASE_URL": (_path, "a URL such as https://masks.example.com"),
    "PUBLIC_URL": (_path, "a URL such as https://example.com/masks"),
    "APP_NAME": (_path, "a title"),
}
"""What tells that a value is not ours, and what would be right; `_port` for all that end in PORT."""


def foreign(variable: str, value: str) -> str | None:
    """What a value is and what would be right, where its form says that it was not meant for us.

    None for values that are ours, wrong ones too. `variable` in capitals; `value` not empty.
    """
    right = "a number from 1 to 65535"
    rule = (_port, right) if variable.endswith("PORT") else _RULES.get(variable)
    what = rule[0](value) if rule else ""
    return f"it is {what}; {rule[1]} would be right" if rule and what else None


def opens_triton(name: str, value: str) -> bool:
    """Whether a variable, in capitals, would open the embedded Triton to other machines, if it were one of ours."""
    return _TRITONS_HOST.fullmatch(name) is not None and not _is_loopback(value)


def is_service_link(name: str) -> bool:
    """Whether Kubernetes or Docker made the variable of a service's name."""
    return _SERVICE_LINK.search(name) is not None


def near_miss(name: str, ours: Sequence[str]) -> str | None:
    """The name of ours that was probably meant by one that is not; only where the first word is one that ours share.

    One letter may be wrong, missing, too many or at its neighbour's place in each word, two in all; the words may stand
    in another order; MASKWRIGHT_ may stand before.
    """
    if name.startswith("MASKWRIGHT_"):
        rest = name.removeprefix("MASKWRIGHT_")
        return rest if rest in ours else None
    if len(name) < _LONG_NAME or name.split("_", maxsplit=1)[0] not in _prefixes(ours):
        return None
    return next((known for known in ours if _is_near(name, known)), None)


def _prefixes(ours: Iterable[str]) -> frozenset[str]:
    first = [name.split("_")[0] for name in ours]
    return frozenset(word for word in first if first.count(word) > 1)


def _is_near(name: str, known: str) -> bool:
    words, theirs = name.split("_"), known.split("_")
    if abs(len(name) - len(known)) > 2 or words[0] != theirs[0]:  # noqa: PLR2004 a letter in each of two words
        return False
    if sorted(words) == sorted(theirs):
        return True
    if len(words) != len(theirs):
        return _distance(name, known) == 1
    each = [_distance(word, their) for word, their in zip(words, theirs, strict=True)]
    return max(each) == 1 and sum(each) <= 2  # noqa: PLR2004 as said


def _distance(one: str, other: str) -> int:
    """Letters to change, add, leave out or swap with their neighbours (optimal string alignment)."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            best = min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b))
            swapped = i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b
            row.append(min(best, rows[-2][j - 2] + 1) if swapped else best)
        rows.append(row)
    return rows[-1][-1]


def _is_loopback(text: str) -> bool:
    host = re.sub(r":\d+$", "", text) if text.count(":") == 1 else text
    bare = host.removeprefix("[").removesuffix("]")
    return host == "localhost" or (_is_address(bare) and ip_address(bare).is_loopback)


def _is_address(text: str) -> bool:
    try:
        ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
