"""Hosts and web origins, as headers and settings name them (RFC 9110 §7.2, RFC 6454 §7)."""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

_AUTHORITY = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)(?:%[\w.%-]+)?\]|(?P<name>[A-Za-z0-9._~-]+))(?::(?P<port>[0-9]{0,5}))?"
)
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#@\s]+)/?", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_LARGEST_PORT = 2**16 - 1


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
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host as an address, an IPv4 one where it stands in an IPv6 one; None for a name."""
        try:
            address = ip_address(self.host)
        except ValueError:
            return None
        return getattr(address, "ipv4_mapped", None) or address


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
    star = "://*." in text
    origin = WebOrigin.parse(text.replace("://*.", "://", 1))
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    port = f":{origin.port}" if origin.port not in {None, _PORTS.get(origin.scheme)} else ""
    return f"{origin.scheme}://{'*.' if star else ''}{host}{port}"


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
