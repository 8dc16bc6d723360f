"""Which addresses may be connected to.

From the IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890 and its updates), not from the standard
library's `is_global`, which differs between versions of Python and takes multicast for global.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

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
_LOOPBACK = 1
"""::1, after ::; `is_loopback` takes mapped forms for it too, from Python 3.13 on."""
_ISATAP = 0x5EFE
_ISATAP_GLOBAL_BIT = 0x0200_0000
_LAST_32_BITS = 0xFFFF_FFFF


def is_permitted(address: IPAddress, allowed: Sequence[IPNetwork]) -> bool:
    """Whether an address is public or of an allowed network, and every IPv4 address that is packed into it, too."""
    if isinstance(address, IPv6Address) and address.scope_id is not None:
        return False
    return all(is_public(form) or any(form in network for network in allowed) for form in (address, *packed(address)))


def is_public(address: IPAddress) -> bool:
    """Whether an address is of the public Internet, and reached there as it stands."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _RESERVED_IPV4)
    return address in _GLOBAL_IPV6 and not any(address in network for network in _RESERVED_IPV6)


def packed(address: IPAddress) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses that packets to an IPv6 address may end at: RFC 3056, 4291, 4380, 5214, 6052."""
    if isinstance(address, IPv4Address) or int(address) <= _LOOPBACK:
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
