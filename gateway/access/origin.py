"""Whose a request is, where nobody says: that of the address it comes from."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers

from gateway.access.caller import LOCAL, Caller
from gateway.visits import Owner

Network = IPv4Network | IPv6Network

_FORWARDED = "x-forwarded-for"
_SITE_BITS = 64
"""Of an IPv6 address: what one customer gets at least (RFC 6177)."""


def owner_by_address(scope: Mapping[str, object], trusted: Sequence[Network]) -> Owner:
    """The owner by the client's address; behind trusted proxies by the one that the last of them saw."""
    peer = scope.get("client")
    address = str(peer[0]) if isinstance(peer, (tuple, list)) else ""
    for earlier in reversed(_forwarded(Headers(scope=dict(scope)))):
        if not _is_trusted(address, trusted):
            break
        address = earlier
    name = _site(address)
    return Owner(name, name)


def owner_of(caller: Caller, by_address: Owner) -> Owner:
    """The owner by what the caller showed: the tenant's, of whose callers each has its share."""
    if caller is LOCAL:
        return by_address
    return Owner(f"tenant:{caller.tenant}" if caller.tenant else caller.name, caller.name)


def _forwarded(headers: Headers) -> list[str]:
    """Addresses in the order of the way, the client's first."""
    return [part.strip() for value in headers.getlist(_FORWARDED) for part in value.split(",")]


def _is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _site(address: str) -> str:
    parsed = _parsed(address)
    if parsed is None:
        return address[:_SITE_BITS]
    return f"{IPv6Address(int(parsed) >> _SITE_BITS << _SITE_BITS)}/64" if parsed.version == 6 else str(parsed)  # noqa: PLR2004


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An address without a port; an IPv4 one where it stands in an IPv6 one."""
    try:
        parsed = ip_address(_without_port(address))
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _without_port(address: str) -> str:
    """`192.0.2.7:4711` and `[2001:db8::1]:4711`, as some proxies write them, too."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address
