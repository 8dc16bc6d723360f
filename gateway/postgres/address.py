"""Addresses of databases as people and hosters write them: URLs, libpq's keywords, its services.

Source: PostgreSQL's documentation, chapter "Database Connection Control Functions".
"""

import configparser
import os
import random
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from urllib.parse import unquote, urlencode

_UNREADABLE = "not a URL such as postgresql://user:password@host:5432/database"
_ENCODED = (
    f"{_UNREADABLE}; characters of user or password such as @ / # ? [ % must be percent-encoded: "
    "@ is %40, / is %2F, # is %23"
)
_NO_KEYWORDS = f"neither {_UNREADABLE.removeprefix('not ')} nor keywords such as host=… dbname=…"
_URL = re.compile(
    r"(?:jdbc:)?postgres(?:ql)?(?:\+\w+)?://(?P<place>[^/?#]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?", re.IGNORECASE
)
_KEYWORD = re.compile(r"\s*(\w+)\s*=\s*('(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)*)(?=\s|$)", re.DOTALL)
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+(?:%[\w.-]+)?)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d*))?")
_WORD = re.compile(r"(?:\\.|[^\s\\])+", re.DOTALL)
_BAD_PERCENT = re.compile(r"%(?![0-9a-fA-F]{2})")
_SETTING = re.compile(r"(?:-c\s*|--)(?P<name>[\w.-]+)=(?P<value>.*)", re.DOTALL)

_LONGEST_SOCKET = 107
"""Bytes of a socket's path, with its name in the folder."""
_PORT = 5432
_TRUE = frozenset({"true", "1", "on", "yes"})
_SSL = {"true": "require", "1": "require", "on": "require", "false": "disable", "0": "disable", "no-verify": "require"}
"""What `ssl` means in JDBC, SQLAlchemy and Node, as `sslmode`."""
_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")

_SAME = {
    "dbname": "database",
    "currentSchema": "search_path",
    "ApplicationName": "application_name",
    "connectTimeout": "connect_timeout",
    "targetServerType": "target_session_attrs",
    "unix_sock": "host",
}
"""Other names of a parameter, as JDBC's and Python's drivers have them."""
_PASTED = re.compile(
    r"^(?:psql\s+|(?:export\s+)?[A-Za-z_]\w*=)(?=\s*['\"]?(?:jdbc:)?postgres(?:ql)?(?:\+\w+)?://)", re.IGNORECASE
)
"""What stands before an address on a hoster's page."""
_NET = re.compile(r"\s*(server|host|data source)\s*=[^\s;']*;", re.IGNORECASE)
"""How an ADO.NET string begins, whose parts are between semicolons."""
_SOCKET = re.compile(r"(/.*)/\.s\.PGSQL\.(\d+)")
TLS = (
    "sslmode",
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslpassword",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)
_USED = frozenset(
    (
        *TLS,
        *(
            "host",
            "port",
            "user",
            "password",
            "database",
            "passfile",
            "service",
            "ssl",
            "options",
            "search_path",
            "schema",
        ),
        *("connect_timeout", "target_session_attrs", "load_balance_hosts", "application_name", "pgbouncer"),
        *("krbsrvname", "gsslib", "sslnegotiation"),
    )
)
_NOTHING_LOST = {
    "gssencmode": ("disable", "prefer"),
    "channel_binding": ("disable", "prefer"),
    "sslcompression": ("0", "1"),
    "sslsni": ("1",),
    "client_encoding": ("utf8", "utf-8", "auto", "unicode"),
    "fallback_application_name": None,
}
"""Values that ask for what is done anyway; None stands for any value."""

_WRITING = ("any", "primary", "read-write")


class AddressError(ValueError):
    """An address that cannot be used; the message holds nothing of it but names of parameters."""


@dataclass(frozen=True)
class Address:
    """Where a database is and how it is spoken to.

    `settings` are of each session (`options=-c name=value`); `options` is what else the server, or a proxy before it,
    is told there. `passed_over` are parameters that are not honoured.
    """

    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)  # the password is among them
    settings: Mapping[str, str] = field(default_factory=dict)
    options: str = ""
    passed_over: tuple[str, ...] = ()

    def get(self, name: str) -> str | None:
        """A parameter; None where it is not given or empty."""
        return self.parameters.get(name) or None

    @property
    def pooled(self) -> bool:
        """Whether it says itself that a pooler lies between."""
        return (self.get("pgbouncer") or "").lower() in _TRUE

    def through_pooler(self) -> "Address":
        """The same, said to lead to a pooler."""
        return replace(self, parameters={**self.parameters, "pgbouncer": "true"})

    def named(self, application: str) -> "Address":
        """The same, with a name for its sessions where none is given, or that of versions without a schema."""
        given = self.get("application_name")
        name = application if given in {None, "maskwright"} else given
        return replace(self, parameters={**self.parameters, "application_name": name or application})


def read_address(text: str) -> Address:
    """An address from a URL, or from keywords and values. Raises AddressError."""
    text = _PASTED.sub("", text.strip(), count=1)
    if text[:1] == text[-1:] and text[:1] in {"'", '"'}:  # as a file of variables may have it
        text = text[1:-1]
    given = _with_service(dict(_of_url(text) if "://" in text else _of_keywords(text)))
    if any("\0" in value for value in given.values()):
        raise AddressError("no value may hold the character NUL (%00)")
    known = {name: value for name, value in given.items() if name in _USED}
    known.setdefault("host", given.get("hostaddr", ""))
    settings, options = _options(known.pop("options", ""))
    if schema := known.pop("schema", ""):
        settings["search_path"] = '"' + schema.replace('"', '""') + '"'
    if path := known.pop("search_path", ""):
        settings["search_path"] = path
    hosts, ports = _places(known.pop("host", ""), known.pop("port", ""))
    if (known.get("load_balance_hosts") or "").lower() == "random":
        hosts, ports = _shuffled(hosts, ports)
    return Address(hosts, ports, _with_tls(known), settings, options, tuple(_passed_over(given)))


def _of_url(text: str) -> Iterator[tuple[str, str]]:
    found = _URL.fullmatch(text)
    if found is None:
        raise AddressError(_ENCODED if text.lower().startswith(("postgres", "jdbc:postgres")) else _UNREADABLE)
    login, _, hosts = found["place"].rpartition("@")
    path = (found["path"] or "")[1:]
    if "@" in login or ("@" in path and not login) or _BAD_PERCENT.search(found["place"] + path):
        raise AddressError(_ENCODED)
    user, _, password = login.partition(":")
    if "[" in login:
        raise AddressError(_ENCODED)
    yield from {"user": unquote(user), "password": unquote(password), "database": unquote(path.rstrip("/"))}.items()
    yield from _hosts_of_url(hosts)
    for pair in filter(None, (found["query"] or "").split("&")):
        name, _, value = pair.partition("=")
        if not re.fullmatch(r"[\w.-]+", name) or _BAD_PERCENT.search(value):
            raise AddressError(_ENCODED)
        yield _SAME.get(name, name), unquote(value)


def _hosts_of_url(hosts: str) -> Iterator[tuple[str, str]]:
    """The parameters `host` and `port` of what stands before the path."""
    if not hosts:
        return
    if re.fullmatch(r"[0-9a-fA-F]*:[0-9a-fA-F]*:[0-9a-fA-F:]*", hosts):
        raise AddressError("an IPv6 address must stand in brackets, as in [::1]:5432")
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    places = [place for place in found if place]
    if len(places) < len(found):
        raise AddressError(_ENCODED)
    yield "host", ",".join(unquote(place["six"] or place["name"] or "") for place in places)
    if any(place["port"] for place in places):
        yield "port", ",".join(place["port"] or "" for place in places)


def _of_keywords(text: str) -> Iterator[tuple[str, str]]:
    """Names in any case. Raises AddressError where none is known: it is not meant for libpq."""
    given = {_SAME.get(name, name): value for name, value in _keywords(text)}
    known = {name.lower() if name.lower() in _USED else name: value for name, value in given.items()}
    if given and not _USED & set(known):
        raise AddressError(_NO_KEYWORDS)
    yield from known.items()


def _keywords(text: str) -> Iterator[tuple[str, str]]:
    if _NET.match(text):
        raise AddressError(_NO_KEYWORDS)
    start = 0
    while start < len(text):
        found = _KEYWORD.match(text, start)
        if found is None:
            raise AddressError(_NO_KEYWORDS)
        value = found[2][1:-1] if found[2].startswith("'") else found[2]
        yield found[1], re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        start = found.end()


def _with_service(given: Mapping[str, str]) -> Mapping[str, str]:
    """The parameters of a service in pg_service.conf too, where they are not given."""
    service = given.get("service") or os.environ.get("PGSERVICE")
    if not service:
        return given
    file = Path(os.environ.get("PGSERVICEFILE") or "~/.pg_service.conf")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(file.expanduser(), encoding="utf-8")
        known = {_SAME.get(name, name): value for name, value in parser[service].items()}
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError, configparser.Error):
        raise AddressError(f"service: {file} does not describe this service") from None
    return {**known, **{name: value for name, value in given.items() if value}}


def _options(text: str) -> tuple[dict[str, str], str]:
    """The settings that `options` makes, and what else it says, such as `endpoint=…` to a proxy."""
    settings, rest = {}, []
    for escaped in _WORD.findall(re.sub(r"(^|\s)-c\s+", r"\1-c", text)):
        word = re.sub(r"\\(.)", r"\1", escaped, flags=re.DOTALL)
        if found := _SETTING.fullmatch(word):
            settings[found["name"].replace("-", "_")] = found["value"]
        else:
            rest.append(word)
    return settings, " ".join(rest)


def _places(hosts: str, ports: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    names = [name.strip() for name in hosts.split(",")] if hosts else []
    numbers = [number.strip() for number in ports.split(",")] if ports else []
    if len(names) == 1 and (socket := _SOCKET.fullmatch(names[0])):  # drivers other than libpq name the socket itself
        names, numbers = [socket[1]], [socket[2]]
    if len(numbers) > 1 and len(numbers) != len(names):
        raise AddressError(f"port: {len(numbers)} ports for {len(names)} hosts")
    numbers = numbers * len(names) if len(numbers) == 1 and names else numbers
    for name in names:
        _check_host(name)
    return tuple(names), tuple(_port(number) for _, number in zip_longest(names, numbers, fillvalue=""))


def _check_host(name: str) -> None:
    if name.startswith("@"):
        raise AddressError(
            "host: sockets in the abstract namespace (@…) are not supported; use a socket's folder or TCP"
        )
    if name.startswith("/") and len(os.fsencode(f"{name}/.s.PGSQL.00000")) > _LONGEST_SOCKET:
        raise AddressError(f"host: a socket's path may have {_LONGEST_SOCKET} bytes")
    if re.search(r"[\s@\x00]", name):
        raise AddressError(_ENCODED)


def _port(text: str) -> int:
    """The default's number for nothing."""
    if not text:
        return _PORT
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 65535):  # noqa: PLR2004
        raise AddressError("port: not a number from 1 to 65535")
    return int(text)


def _shuffled(hosts: tuple[str, ...], ports: tuple[int, ...]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    pairs = random.sample(list(zip(hosts, ports, strict=True)), len(hosts))
    return tuple(host for host, _ in pairs), tuple(port for _, port in pairs)


def _with_tls(known: Mapping[str, str]) -> dict[str, str]:
    """`ssl` as `sslmode`, and an `sslmode` in libpq's words."""
    parameters = dict(known)
    ssl = parameters.pop("ssl", "").lower()
    mode = (parameters.get("sslmode") or ssl).lower()
    if mode:
        parameters["sslmode"] = _SSL.get(mode, mode)
        if parameters["sslmode"] not in _MODES:
            raise AddressError(f"{'sslmode' if known.get('sslmode') else 'ssl'}: must be one of {', '.join(_MODES)}")
    return parameters


def _passed_over(given: Mapping[str, str]) -> Iterator[str]:
    """Every connection here writes, so those that ask for a server that takes no writes are not honoured."""
    if (seconds := given.get("connect_timeout")) and not (seconds.isascii() and seconds.isdigit()):
        yield "connect_timeout"
    for name, value in given.items():
        same = _WRITING if name == "target_session_attrs" else _NOTHING_LOST.get(name, ())
        unused = name not in _USED or name == "target_session_attrs"
        if unused and value and same is not None and value.lower() not in same:
            yield name


_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_SYSTEM = "system"
_VERIFIED = ("verify-ca", "verify-full")


def tls_arguments(address: Address) -> Mapping[str, object]:
    """Asyncpg's arguments. Raises AddressError for files that cannot be read or hold something else."""
    given = {name: value for name in TLS if (value := address.get(name))}
    for name in _FILES:
        if name in given and given[name] != _SYSTEM:
            _check_file(name, given[name])
    direct = {"direct_tls": True} if address.get("sslnegotiation") == "direct" else {}
    if _by_the_systems_authorities(given):
        return {"ssl": _system_context(given), **direct}
    return {"dsn": f"postgresql://?{urlencode(given)}", **direct} if given else direct


def _by_the_systems_authorities(given: Mapping[str, str]) -> bool:
    """Where they are asked for, or some are needed and none are named; then the host's name counts too."""
    mode = given.get("sslmode") or os.environ.get("PGSSLMODE")
    named = given.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")
    if named or mode not in _VERIFIED:
        return named == _SYSTEM and mode != "disable"
    home = os.environ.get("HOME")
    return not (home and Path(home, ".postgresql", "root.crt").exists())


def _system_context(given: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if "sslcert" in given:
            context.load_cert_chain(given["sslcert"], given.get("sslkey"), lambda: given.get("sslpassword", ""))
        if "sslcrl" in given:
            context.load_verify_locations(given["sslcrl"])
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    except OSError as error:
        raise AddressError(f"sslcert, sslkey or sslcrl: {error}") from error
    return context


def _check_file(name: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise AddressError(f"{name}: {getattr(error, 'strerror', None) or error}: {path}") from error
