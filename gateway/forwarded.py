"""What proxies say of the request that they forward: X-Forwarded-*, and Forwarded (RFC 7239)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.datastructures import Headers

from gateway.settings.fields import is_prefix, origin

Networks = Sequence[IPv4Network | IPv6Network]

_SCHEMES = frozenset({"http", "https"})
_WELL_KNOWN = frozenset({"80", "443"})
"""Ports that are never added to a host: proxies name the one of their own side, whichever the client's is."""
_TOKEN = re.compile(r'([a-z]{1,10})=("(?:[^"\\]|\\.)*+"?|[^",;\s]*+)|(,)', re.IGNORECASE)
"""A pair, or the end of an element; read in one pass, whatever a stranger sends through the proxy."""
_NODE = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d+)?|([^:]+)(?::\d+)?|([0-9A-Fa-f:.]+)")
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?")
_MOST_HOPS = 32


@dataclass(frozen=True)
class Forwarded:
    """What is believed: the client's address; the scheme, scheme://host[:port] and prefix that it used."""

    client: str = ""
    scheme: str = ""
    origin: str = ""
    prefix: str = ""


def forwarded(headers: Headers, peer: str, trusted: Networks) -> Forwarded | None:
    """What a trusted peer says; None for any other. What is malformed counts as not said.

    Each trusted proxy is believed about the one before it, and the last that is believed about the client.
    """
    if not is_trusted(peer, trusted):
        return None
    hops = _x_hops(headers) or _hops(headers)
    return _believed(hops, headers, trusted)


def is_trusted(peer: str, trusted: Networks) -> bool:
    """Whether an address is of these networks."""
    address = _address(peer)
    return address is not None and any(address in network for network in trusted)


def _believed(hops: Sequence[Mapping[str, str]], headers: Headers, trusted: Networks) -> Forwarded:
    """The hop that the outermost trusted proxy told of; hops come in the order of the way here."""
    hop: Mapping[str, str] = {}
    for told in reversed(hops):
        hop = told
        if not is_trusted(_node(told.get("for", "")), trusted):
            break
    scheme = hop.get("proto", "").lower()
    host, port = _split_host(hop.get("host") or headers.get("host", ""))
    known = scheme if scheme in _SCHEMES else ""
    named = hop.get("port", "")
    given = port or (named if named.isdecimal() and named not in _WELL_KNOWN and len(named) <= len("65535") else "")
    prefix = hop.get("prefix", "").rstrip("/")
    client = _address(_node(hop.get("for", "")))
    return Forwarded(
        client=str(client) if client else "",
        scheme=known,
        origin=(origin(known or "http", host, int(given) if given else None) or "") if hop else "",
        prefix=prefix if is_prefix(prefix) else "",
    )


def _x_hops(headers: Headers) -> list[dict[str, str]]:
    """From X-Forwarded-*: lists that grow at their end; the first of a shorter one is said of all before it, too."""
    lists = {name: _list(headers, f"x-forwarded-{name}") for name in ("for", "proto", "host", "port", "prefix")}
    longest = max(map(len, lists.values()))
    hops: list[dict[str, str]] = [{} for _ in range(longest)]
    for name, values in lists.items():
        for index, hop in enumerate(hops):
            place = index - (longest - len(values))
            if values:
                hop[name] = values[max(0, place)] if name != "for" or place >= 0 else ""
    return hops


def _list(headers: Headers, name: str) -> list[str]:
    parts = ",".join(headers.getlist(name)).split(",")[-_MOST_HOPS:]
    return [part.strip() for part in parts if part.strip()]


def _hops(headers: Headers) -> list[dict[str, str]]:
    """From Forwarded."""
    hops: list[dict[str, str]] = [{}]
    for name, value, end in _TOKEN.findall(",".join(headers.getlist("forwarded"))):
        if end:
            hops.append({})
        else:
            hops[-1][name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return [hop for hop in hops if hop][-_MOST_HOPS:]


def _node(text: str) -> str:
    """The address of a node, without its port; `unknown` and names stay as they are."""
    match = _NODE.fullmatch(text.strip())
    return (match[1] or match[2] or match[3]) if match else ""


def _split_host(text: str) -> tuple[str, str]:
    match = _HOST.fullmatch(text.strip())
    return (match[1], match[2] or "") if match else ("", "")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """Also of an IPv4 client as a socket for both versions shows it."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
