"""Decides which addresses a URL may lead to."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

import httpx

from gateway.errors import Problem
from gateway.fetching.addresses import IPAddress, IPNetwork, is_permitted
from gateway.fetching.resolver import Resolver
from gateway.fetching.urls import check_form, host_of, literal, parse_url, shown

_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


def check_url(url: str, allowed: Sequence[IPNetwork]) -> None:
    """Check what can be known without asking for the name. Raises Problem `url_not_allowed`."""
    parsed = parse_url(url)
    address = literal(parsed)
    if address and not is_permitted(address, allowed):
        raise _refused(parsed)
    if _is_localhost(parsed) and not any(is_permitted(one, allowed) for one in _LOOPBACK):
        raise _refused(parsed)


class Guard:
    """Names are looked up here, once a request, and nowhere else."""

    def __init__(self, allowed: Sequence[IPNetwork], resolve: Resolver) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolve

    async def addresses(self, url: httpx.URL) -> Sequence[IPAddress]:
        """The addresses to connect to for a URL, in order of preference; never empty.

        Raises Problem `url_not_allowed` where one of them is neither public nor of an allowed network, so that a name
        cannot slip a private one in among others; `url_unreachable` where the name has none.
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
    """Names the host as the caller wrote it, never the address behind it, which may be of the network inside."""
    host = host_of(url)
    why = f"{host} is not a public address" if literal(url) else f"{host} does not lead to public addresses alone"
    return Problem("url_not_allowed", f"{shown(url)}: {why}; ALLOWED_NETWORKS can allow its network.")


def _unknown(url: httpx.URL) -> Problem:
    return Problem("url_unreachable", f"{shown(url)}: no address is known for {host_of(url)}.")
