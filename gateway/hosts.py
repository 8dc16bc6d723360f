"""Hosts, addresses and web origins, as headers, URLs and settings write them (RFC 9110 §7.2, RFC 6454 §7).

And which hosts are reached through a proxy of the environment: public ones alone. Our own servers, wherever they are,
are never reached through one: gRPC, S3, Kafka, PostgreSQL and the probes take no proxy at all. Photos by URL and
callbacks take none either: a proxy would look up names itself, and the guard could not check the addresses.
"""

import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Self

import httpx
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

_PROXY_SCHEMES = frozenset({"http", "https", "socks5"})
_NO_PROXY = frozenset({"direct", "direct://", "none", "no", "off", "false"})
"""What people write if they want no proxy."""
_RIGHT_PROXY = "http://host:port would be right"

IPAddress = IPv4Address | IPv6Address


def ip_of(text: str) -> IPAddress | None:
    """The address of a text: an IPv4 address also where IPv6 maps it (`::ffff:192.0.2.7`); None for other text."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def is_loopback(host: str) -> bool:
    """Whether a host of a URL is this machine: a loopback address, or a name that RFC 6761 reserves for it."""
    name = host.rstrip(".").lower()
    if (address := written_address(name)) is not None:
        return address.is_loopback
    return name == "localhost" or name.endswith(".localhost")


def is_private(host: str) -> bool:
    """Whether a host of a URL is this machine, is in a private network, or has a name that no public server has."""
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
    """A scheme, a host and a port: browsers separate pages by these. The port is the scheme's own if none is named."""

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
        """Whether pages of this origin come from that host. A proxy that ends TLS may leave out the port."""
        return (self.host, self.port) == (authority.host, authority.port or _PORTS.get(self.scheme))

    @override
    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port not in {None, _PORTS.get(self.scheme)} else ""
        return f"{self.scheme}://{host}{port}"


def covers(pattern: str, host: str) -> bool:
    """Whether a pattern means a host; `*.example.com` means every name below example.com, `*` any host."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return pattern in {"*", host}


def host_pattern(text: str) -> str:
    """An entry of a list of hosts, in one spelling, without scheme, port and slash. Raises ValueError."""
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
    start, star, end = pattern.partition("*")
    text = str(origin)
    return text.startswith(start) and text.endswith(end) if star else text == pattern


class ProxyError(ValueError):
    """A variable names a proxy, or certificates, that cannot be used; the message names it and what would be right."""


def proxy_for(url: httpx.URL, environ: Mapping[str, str] | None = None) -> str | None:
    """The URL of the proxy for a request to this URL; None if it needs none.

    Raises ProxyError if the proxy cannot be used. `environ`: the process's if not given.
    """
    variables = os.environ if environ is None else environ
    host = url.raw_host.decode("ascii").rstrip(".")  # as DNS has it: of some names there is no other form
    if is_private(host) or _is_exempt(host, url.port or _PORTS.get(url.scheme), variables):
        return None
    return next((_usable(name, value) for name, value in _named(url.scheme, variables)), None)


class ProxyTransport(httpx.BaseTransport):
    """Sends each request, and each redirected one, through the proxy that `proxy_for` gives. Raises ProxyError."""

    def __init__(self) -> None:
        self._ways: dict[str | None, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        proxy = proxy_for(request.url)
        if proxy not in self._ways:
            require_certificates()
            self._ways[proxy] = httpx.HTTPTransport(proxy=proxy)
        return self._ways[proxy].handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        for way in self._ways.values():
            way.close()


def transport_to(url: httpx.URL) -> httpx.AsyncHTTPTransport:
    """A transport for requests to one server. Raises ProxyError."""
    require_certificates()
    return httpx.AsyncHTTPTransport(proxy=proxy_for(url))


def proxy_faults() -> list[str]:
    """A line for each variable that names a proxy which cannot be used."""
    faults = []
    for name, value in {**dict(_named("http", os.environ)), **dict(_named("https", os.environ))}.items():
        try:
            _usable(name, value)
        except ProxyError as error:
            faults.append(str(error))
    return faults


def require_certificates() -> None:
    """Raise ProxyError where SSL_CERT_FILE or SSL_CERT_DIR, which httpx reads, cannot be read."""
    for name, argument in (("SSL_CERT_FILE", "cafile"), ("SSL_CERT_DIR", "capath")):
        if path := os.environ.get(name):
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{argument: path})
            except OSError as error:
                raise ProxyError(f"{name}={path}: no certificates can be read there: {error}") from error


def _plain(address: str) -> str:
    """An IPv6 address in its one spelling; nothing for what is none."""
    try:
        return str(IPv6Address(address))
    except ValueError:
        return ""


def _is_exempt(host: str, port: int | None, variables: Mapping[str, str]) -> bool:
    entries = f"{variables.get('no_proxy', '')},{variables.get('NO_PROXY', '')}"
    return any(_covers(entry.lower(), host, port) for entry in re.split(r"[,;|\s\"']+", entries) if entry)


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Whether an entry of NO_PROXY means the host; one that cannot be read means none.

    It is *, a network, an address, or a name and all below it, the last two with a port or without.
    """
    bare = re.sub(r"^[a-z][a-z0-9+.-]*://", "", entry)
    if (address := written_address(host)) is not None:
        return bare == "*" or _has_address(bare, address, port)
    name, _, its_port = bare.removeprefix("*").removeprefix(".").partition(":")
    if its_port and its_port != str(port):
        return False
    return bare == "*" or (bool(name) and (host == name or host.endswith(f".{name}")))


def _has_address(entry: str, address: IPAddress, port: int | None) -> bool:
    split = re.fullmatch(r"\[(.+)\](?::(\d+))?|([^:]+):(\d+)", entry)
    text = (split[1] or split[3]) if split else entry
    its_port = (split[2] or split[4]) if split else None
    try:
        return address in ip_network(text, strict=False) and its_port in {None, str(port)}
    except ValueError:
        return False


def _named(scheme: str, variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The variables that name a proxy for a scheme, and what they say.

    In a CGI script HTTP_PROXY is a header that the caller wrote.
    """
    for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"):
        value = variables.get(name, "").strip(" \t\r\n\"'")
        if value and value.lower() not in _NO_PROXY and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in variables):
            yield name, value


def _usable(name: str, value: str) -> str:
    """A proxy's URL as httpx takes it. Without a scheme it is for HTTP; GNOME writes `socks` for SOCKS 5.

    With each of SOCKS' schemes httpx lets the proxy look up names.
    """
    full = re.sub(r"^socks5?h?://", "socks5://", value if "://" in value else f"http://{value}")
    said = f"{name}={re.sub(r'//.*@', '//…@', full)}"
    try:
        url = httpx.URL(full)
    except (httpx.InvalidURL, ValueError) as error:
        raise ProxyError(f"{said}: no proxy's URL: {error}; {_RIGHT_PROXY}") from error
    is_plain = re.fullmatch(rb"[\w.:-]+", url.raw_host) and 0 < (url.port or 1) <= _LARGEST_PORT
    if url.scheme not in _PROXY_SCHEMES or not is_plain:
        raise ProxyError(f"{said}: not a proxy that can be used; {_RIGHT_PROXY}")
    return full
