"""Hosts, addresses and web origins, as headers, URLs and settings write them (RFC 9110 §7.2, RFC 6454 §7)."""

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

from typing_extensions import override

_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)(?:%[\w.%-]+)?\]|(?P<name>[A-Za-z0-9._~-]+))(?::(?P<port>[0-9]{0,5}))?"
)
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#@\s]+)/?", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_LARGEST_PORT = 2**16 - 1
_PRIVATE_ENDINGS = (
    "localhost", "local", "localdomain", "internal", "intranet", "lan", "home.arpa", "svc", "cluster.local", "test",
)  # fmt: skip
"""Endings of names that no public name has: RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`, and Kubernetes' own."""
_SHORT_ADDRESS = re.compile(r"(0x[0-9a-f]+|\d+)(\.(0x[0-9a-f]+|\d+)){0,3}")

IPAddress = IPv4Address | IPv6Address


def ip_of(text: str) -> IPAddress | None:
    """The address of a text: an IPv4 address also where IPv6 maps it (`::ffff:192.0.2.7`); None for other text."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine: by its address, or by a name that RFC 6761 gives to no other."""
    name = host.rstrip(".").lower()
    if (address := written_address(name)) is not None:
        return address.is_loopback
    return name == "localhost" or name.endswith(".localhost")


def is_private(host: str) -> bool:
    """Whether a host of a URL is this machine, in a private network, or has a name that no public server has."""
    if (address := written_address(host)) is not None:
        return not address.is_global
    return "." not in host or ".svc." in host or any(host.endswith(f".{ending}") for ending in _PRIVATE_ENDINGS)


def written_address(host: str) -> IPAddress | None:
    """The address that a URL's host is: with or without brackets, or as inet_aton(3) takes it (127.1, 0x7f000001)."""
    bare = host.removeprefix("[").removesuffix("]")
    if (address := ip_of(bare)) is not None or not _SHORT_ADDRESS.fullmatch(bare):
        return address
    try:
        return IPv4Address(socket.inet_aton(bare))
    except OSError:
        return None


@dataclass(frozen=True)
class Authority:
    """A host in small letters, without brackets and without the dot that may end a name; and its port, if named."""

    host: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value of the header Host. Raises ValueError."""
        found = _AUTHORITY.fullmatch(text) or _AUTHORITY.fullmatch(f"[{text}]")
        name, port = (found["name"], int(found["port"] or 0)) if found else ("", 0)
        host = _plain(found["six"]) if found and found["six"] else (name or "").lower().removesuffix(".")
        if not host or ".." in host or host.startswith(".") or port > _LARGEST_PORT:
            raise ValueError(f"{text[:100]!r} is no host such as masks.example.com:8000")
        return cls(host, port or None)

    @property
    def address(self) -> IPAddress | None:
        """The host as an address; None for a name."""
        return ip_of(self.host)


@dataclass(frozen=True)
class WebOrigin:
    """A scheme, a host and a port: what browsers keep apart; the port is the scheme's own where none is named."""

    scheme: str
    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a value of the header Origin, or a URL without a path. Raises ValueError; also for `null`."""
        found = _ORIGIN.fullmatch(text)
        if found is None:
            raise ValueError(f"{text[:100]!r} is no origin such as https://shop.example.com")
        scheme, authority = found["scheme"].lower(), Authority.parse(found["authority"])
        return cls(scheme, authority.host, authority.port or _PORTS.get(scheme))

    def is_at(self, authority: Authority) -> bool:
        """Whether pages of this origin come from that host; who ends TLS before us may leave its port out."""
        return (self.host, self.port) == (authority.host, authority.port or _PORTS.get(self.scheme))

    @override
    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port not in {None, _PORTS.get(self.scheme)} else ""
        return f"{self.scheme}://{host}{port}"


def covers(pattern: str, host: str) -> bool:
    """Whether a host is the one that a pattern names; `*.example.com` is every name below example.com, `*` any."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return pattern in {"*", host}


def host_pattern(text: str) -> str:
    """An entry of a list of hosts, in one spelling; a scheme, a port and a slash are left out. Raises ValueError."""
    bare = re.sub(r"^[a-z][a-z0-9+.-]*://|/$", "", text, flags=re.IGNORECASE)
    if bare == "*":
        return bare
    star, rest = ("*.", bare.removeprefix("*").removeprefix(".")) if re.match(r"\*?\.", bare) else ("", bare)
    return f"{star}{Authority.parse(rest).host}"


def origin_pattern(text: str) -> str:
    """An entry of a list of origins, in one spelling: `*`, an origin, or one with `*.` before its host.

    Raises ValueError; also for `null`, which any page can send.
    """
    if text == "*":
        return text
    origin = str(WebOrigin.parse(text.replace("://*.", "://", 1)))
    return origin.replace("://", "://*.", 1) if "://*." in text else origin


def matches_origin(pattern: str, origin: WebOrigin) -> bool:
    """Whether a pattern of `origin_pattern` means an origin."""
    if pattern == "*":
        return True
    named = WebOrigin.parse(pattern.replace("://*.", "://", 1))
    host = f"*.{named.host}" if "://*." in pattern else named.host
    return (named.scheme, named.port) == (origin.scheme, origin.port) and covers(host, origin.host)


def _plain(address: str) -> str:
    """An IPv6 address in its one spelling; nothing for what is none."""
    try:
        return str(IPv6Address(address))
    except ValueError:
        return ""
