"""Which HTTP requests go through a proxy of the environment: those to public hosts, and no others.

Our own servers, wherever they are, are never reached through one: gRPC, S3, Kafka, PostgreSQL and the probes take no
proxy at all. Photos by URL and callbacks take none either: a proxy would look names up itself, past the guard's check.
"""

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from ipaddress import ip_network

import httpx

from gateway.hosts import IPAddress, is_private, written_address

_SCHEMES = frozenset({"http", "https", "socks5"})
_NONE = frozenset({"direct", "direct://", "none", "no", "off", "false"})
"""What people write for no proxy."""
_PORTS = {"http": 80, "https": 443}
_RIGHT = "http://host:port would be right"


class ProxyError(ValueError):
    """A variable names a proxy, or certificates, that cannot be used; the message names it and what would be right."""


def proxy_for(url: httpx.URL, environ: Mapping[str, str] | None = None) -> str | None:
    """The URL of the proxy that a request to this URL goes through; None where it goes straight there.

    Raises ProxyError where a proxy is named that cannot be used. `environ`: the process's where not given.
    """
    variables = os.environ if environ is None else environ
    host = url.raw_host.decode("ascii").rstrip(".")  # as DNS has it: of some names there is no other form
    if is_private(host) or _is_exempt(host, url.port or _PORTS.get(url.scheme), variables):
        return None
    return next((_usable(name, value) for name, value in _named(url.scheme, variables)), None)


class Web(httpx.BaseTransport):
    """Sends each request, a redirected one too, the way that `proxy_for` says. Raises ProxyError."""

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


def way_to(url: httpx.URL) -> httpx.AsyncHTTPTransport:
    """A transport for requests to one server. Raises ProxyError."""
    require_certificates()
    return httpx.AsyncHTTPTransport(proxy=proxy_for(url))


def proxy_faults() -> list[str]:
    """A line for each variable that names a proxy which cannot be used."""
    named = {**dict(_named("http", os.environ)), **dict(_named("https", os.environ))}
    return [fault for name, value in named.items() if (fault := _fault(name, value))]


def require_certificates() -> None:
    """Raise ProxyError where SSL_CERT_FILE or SSL_CERT_DIR, which httpx reads, cannot be read."""
    for name, argument in (("SSL_CERT_FILE", "cafile"), ("SSL_CERT_DIR", "capath")):
        if path := os.environ.get(name):
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(**{argument: path})
            except OSError as error:
                raise ProxyError(f"{name}={path}: no certificates can be read there: {error}") from error


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
        if value and value.lower() not in _NONE and not (name == "HTTP_PROXY" and "REQUEST_METHOD" in variables):
            yield name, value


def _usable(name: str, value: str) -> str:
    """A proxy's URL as httpx takes it; without a scheme it is HTTP's, `socks` is GNOME's word for SOCKS 5.

    By either scheme httpx lets the SOCKS proxy look names up.
    """
    full = re.sub(r"^socks5?h?://", "socks5://", value if "://" in value else f"http://{value}")
    said = f"{name}={re.sub(r'//.*@', '//…@', full)}"
    try:
        url = httpx.URL(full)
    except (httpx.InvalidURL, ValueError) as error:
        raise ProxyError(f"{said}: no proxy's URL: {error}; {_RIGHT}") from error
    if url.scheme not in _SCHEMES or not re.fullmatch(rb"[\w.:-]+", url.raw_host) or not 0 < (url.port or 1) < 2**16:
        raise ProxyError(f"{said}: not a proxy that can be used; {_RIGHT}")
    if url.scheme == "socks5":
        _require_socks(said)
    return full


def _fault(name: str, value: str) -> str:
    try:
        _usable(name, value)
    except ProxyError as error:
        return str(error)
    return ""


def _require_socks(said: str) -> None:
    try:
        __import__("socksio")
    except ImportError as error:
        raise ProxyError(f"{said}: SOCKS needs packages more: pip install socksio; or {_RIGHT}") from error
