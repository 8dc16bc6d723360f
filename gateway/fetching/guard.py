"""The SSRF guard: what a URL from outside may look like, and which addresses it may lead to.

The reserved networks are those of IANA's special-purpose address registries (RFC 6890 and its updates). The standard
library's `is_global` is not used: it differs between versions of Python, and counts multicast as global.
"""

import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import anyio
import anyio.to_thread
import httpx

from gateway.errors import Problem
from gateway.hosts import IPAddress

IPNetwork = IPv4Network | IPv6Network
Resolver = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""Gives all addresses of an ASCII name, the preferred one first. Raises OSError if there is none."""

_RESERVED_IPV4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by a provider's customers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata services of clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
"""Global unicast; outside are loopback, link-local, unique local, site-local, multicast, mapped IPv4 and NAT64."""
_RESERVED_IPV6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
_ENDING_IN_IPV4 = tuple(
    IPv6Network(network)
    for network in (
        "::/96",  # compatible
        "::ffff:0:0/96",  # mapped
        "::ffff:0:0:0/96",  # translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 inside a network
    )
)
_IPV6_LOOPBACK = 1
"""The number of ::1. (From Python 3.13 on, `is_loopback` is also true of mapped forms.)"""
_ISATAP = 0x5EFE
_ISATAP_GLOBAL_BIT = 0x0200_0000
_LAST_32_BITS = 0xFFFF_FFFF
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_LOOKUPS = 256
"""Lookups at one time, a thread each: many, so that names whose DNS servers do not answer do not block the others."""
_SCHEMES = frozenset({"http", "https"})
_LONGEST = 8192
_SHOWN = 200
_HIGHEST_PORT = 65_535
_LONGEST_NAME = 253
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_PUNYCODE = "xn--"
_JOINERS = dict.fromkeys(map(ord, "\u200c\u200d"))
"""In names of Persian and Indic scripts (RFC 5892, A.1 and A.2)."""
_AUTHORITY = re.compile(r"(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//([^/?#]*)")
_PLAIN = re.compile(r"(\[[^\]]*\]|[^\[\]:]*)(:[0-9]{0,5})?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def check_url(url: str, allowed: Sequence[IPNetwork]) -> None:
    """Check all that can be checked without DNS. Raises Problem `url_not_allowed`."""
    parsed = parse_url(url)
    address = literal(parsed)
    if address and not is_permitted(address, allowed):
        raise _refused(parsed)
    if _is_localhost(parsed) and not any(is_permitted(one, allowed) for one in _LOOPBACK):
        raise _refused(parsed)


class Guard:
    """Finds the addresses that a request may go to; names are looked up only here, once for each request."""

    def __init__(self, allowed: Sequence[IPNetwork], resolve: Resolver) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve

    async def addresses(self, url: httpx.URL) -> Sequence[IPAddress]:
        """The addresses to connect to for a URL, in order of preference; never empty.

        Raises Problem `url_not_allowed` if even one of them is neither public nor in an allowed network: a name must
        not hide a private address among public ones. `url_unreachable` if the name has no address.
        """
        check_form(url)
        address = literal(url)
        addresses = (address,) if address else await self._look_up(url)
        if not all(is_permitted(one, self._allowed) for one in addresses):
            raise _refused(url)
        return addresses

    async def _look_up(self, url: httpx.URL) -> Sequence[IPAddress]:
        try:
            addresses = await self._resolve(host_of(url))
        except OSError as error:
            raise _unknown(url) from error
        if not addresses:
            raise _unknown(url)
        return addresses


def _is_localhost(url: httpx.URL) -> bool:
    """RFC 6761: these names never leave the machine."""
    return host_of(url).split(".")[-1] == "localhost"


def _refused(url: httpx.URL) -> Problem:
    """Name the host as the caller wrote it, never its address, which would tell about the internal network."""
    host = host_of(url)
    why = f"{host} is not a public address" if literal(url) else f"{host} does not lead to public addresses alone"
    return Problem("url_not_allowed", f"{shown(url)}: {why}; ALLOWED_NETWORKS can allow its network.")


def _unknown(url: httpx.URL) -> Problem:
    return Problem("url_unreachable", f"{shown(url)}: no address is known for {host_of(url)}.")


def parse_url(text: str) -> httpx.URL:
    """Parse a URL; its host is in ASCII and lower case.

    Raises Problem `url_not_allowed` for everything but plain http or https to a well-formed host without credentials,
    and for whatever two programs could read differently.
    """
    return _read(text, httpx.URL)


def join_url(base: httpx.URL, location: str) -> httpx.URL:
    """Where a redirect leads; the same rules apply as to a caller's URL. Raises Problem `url_not_allowed`."""
    return _read(location, base.join)


def check_form(url: httpx.URL) -> None:
    """Raise Problem `url_not_allowed` for another scheme, credentials, an impossible port, or a malformed host."""
    if url.scheme not in _SCHEMES:
        raise _malformed(f"{url.scheme[:_SHOWN] or 'A relative URL'} is not accepted; only http:// and https:// are.")
    if not url.raw_host:
        raise _malformed("The URL names no host.")
    if url.userinfo:
        raise _malformed(f"{shown(url)}: credentials in a URL are not accepted.")
    if url.port is not None and not 0 < url.port <= _HIGHEST_PORT:
        raise _malformed(f"{shown(url)}: a port is a number from 1 to {_HIGHEST_PORT}.")
    _check_host(url)


def host_of(url: httpx.URL) -> str:
    """The host in ASCII, an IPv6 address without its brackets."""
    return url.raw_host.decode("ascii")


def literal(url: httpx.URL) -> IPAddress | None:
    """The address that stands in the URL itself; None for a name."""
    try:
        return ip_address(host_of(url))
    except ValueError:
        return None


def shown(url: httpx.URL) -> str:
    """A URL for messages and logs: without credentials and query, which may be secret, and not too long."""
    bare = str(url.copy_with(userinfo=b"", query=None, fragment=None)) + ("?…" if url.query else "")
    return bare if len(bare) <= _SHOWN else f"{bare[:_SHOWN]}…"


def _read(text: str, reader: Callable[[str], httpx.URL]) -> httpx.URL:
    if len(text) > _LONGEST:
        raise _malformed(f"The URL has {len(text)} characters; at most {_LONGEST} are accepted.")
    if any(_is_odd(character) for character in text):
        raise _malformed("The URL holds a space, a backslash or a control character; percent-encode it.")
    try:
        url = reader(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise _malformed(f"Not a URL: {str(error)[:_SHOWN]}") from error
    if len(str(url)) > _LONGEST:
        raise _malformed(
            f"The URL has {len(str(url))} characters when percent-encoded; at most {_LONGEST} are accepted."
        )
    check_form(url)
    _check_authority(text)
    return url


def _check_authority(text: str) -> None:
    """Refuse what httpx also accepts as a port: `:+80`, `:8_0`, digits of other alphabets, a port after a bracket."""
    found = _AUTHORITY.match(text)
    if found and not _PLAIN.fullmatch(found[1]):
        raise _malformed("A port is written as a colon and digits from 0 to 9, at the end of the host.")


def _check_host(url: httpx.URL) -> None:
    host = host_of(url)
    if "%" in host:
        raise _malformed(f"{shown(url)}: percent signs and zones in a host are not accepted.")
    if literal(url):
        return
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1] or labels[-2]):
        raise _malformed(f"{shown(url)}: an IPv4 address is written as four decimal numbers, such as 93.184.216.34.")
    if len(host) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise _malformed(
            f"{shown(url)}: a host is made of letters, digits and hyphens, with single dots between, none at the end."
        )
    if not all(map(_is_readable, labels)):
        raise _malformed(f"{shown(url)}: what follows {_PUNYCODE} is not the Punycode of any name.")


def _is_readable(label: str) -> bool:
    """Whether a Punycode label can be decoded (RFC 3492, RFC 5890 §2.3.2.1); emoji can, as registries sell them."""
    if not label.startswith(_PUNYCODE):
        return True
    try:
        decoded = label.removeprefix(_PUNYCODE).encode().decode("punycode")
    except UnicodeError:
        return False
    return decoded.translate(_JOINERS).isprintable() and not decoded.isascii()


def _is_odd(character: str) -> bool:
    return character in " \\" or not character.isprintable()


def _malformed(detail: str) -> Problem:
    return Problem("url_not_allowed", detail)


def is_permitted(address: IPAddress, allowed: Sequence[IPNetwork]) -> bool:
    """Whether the address, and every IPv4 address that is packed into it, is public or in an allowed network."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    return all(is_public(form) or any(form in network for network in allowed) for form in (address, *packed(address)))


def is_public(address: IPAddress) -> bool:
    """Whether an address belongs to the public Internet, and packets to it go there."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _RESERVED_IPV4)
    return address in _GLOBAL_IPV6 and not any(address in network for network in _RESERVED_IPV6)


def packed(address: IPAddress) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses to which packets for an IPv6 address may be forwarded: RFC 3056, 4291, 4380, 5214, 6052."""
    if isinstance(address, IPv4Address) or int(address) <= _IPV6_LOOPBACK:
        return ()
    if address.teredo:
        return address.teredo
    if address.sixtofour:
        return (address.sixtofour,)
    if any(address in network for network in _ENDING_IN_IPV4) or _is_isatap(address):
        return (IPv4Address(int(address) & _LAST_32_BITS),)
    return ()


def _is_isatap(address: IPv6Address) -> bool:
    return int(address) >> 32 & _LAST_32_BITS & ~_ISATAP_GLOBAL_BIT == _ISATAP


def system_resolver() -> Resolver:
    """The system's resolver, in threads of its own, so that slow names delay nothing but other names."""
    limiter = anyio.CapacityLimiter(_LOOKUPS)

    async def resolve(name: str) -> Sequence[IPAddress]:
        return await anyio.to_thread.run_sync(partial(_look_up, name), abandon_on_cancel=True, limiter=limiter)

    return resolve


def _look_up(name: str) -> Sequence[IPAddress]:
    answers = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(ip_address(answer[4][0]) for answer in answers))
