"""Whose a request is, where nobody says: that of the address it comes from."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address

from gateway.access.caller import LOCAL, Caller
from gateway.limits.sharing import Owner

_SITE_BITS = 64
"""Of an IPv6 address: what one customer gets at least (RFC 6177)."""


def owner_by_address(scope: Mapping[str, object]) -> Owner:
    """The owner by the client's address; behind trusted proxies gateway.public has found that out."""
    peer = scope.get("client")
    name = site_of(str(peer[0]) if isinstance(peer, (tuple, list)) else "")
    return Owner(name, name)


def owner_of(caller: Caller, by_address: Owner) -> Owner:
    """The owner by what the caller showed: the tenant's, of whose callers each has its share."""
    if caller is LOCAL:
        return by_address
    return Owner(f"tenant:{caller.tenant}" if caller.tenant else caller.name, caller.name)


def accounts_of(caller: Caller, by_address: Owner) -> tuple[str, str]:
    """Whose allowances a request takes from: its caller's; and its tenant's, where tokens of one come, else empty.

    Where nobody is asked the caller is the address. A `sub` is one of a tenant; keys are the operator's to make.
    """
    if caller is LOCAL:
        return by_address.name, ""
    return f"{caller.tenant}/{caller.name}", "" if caller.has_key else caller.tenant


def site_of(address: str) -> str:
    """Whom an address counts for: itself, or the /64 of one of IPv6."""
    parsed = _parsed(address)
    if parsed is None:
        return address[:_SITE_BITS]
    return f"{IPv6Address(int(parsed) >> _SITE_BITS << _SITE_BITS)}/64" if parsed.version == 6 else str(parsed)  # noqa: PLR2004


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An IPv4 address where it stands in an IPv6 one."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
