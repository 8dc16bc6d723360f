from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fetching.guard import is_permitted, is_public, packed

PRIVATE = [
    "0.0.0.0",  # noqa: S104 refused, not bound
    "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.1.1.1", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1",
    "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fdff::1", "fe80::1", "febf::1", "fec0::1", "ff02::1", "ff0e::1", "4000::1", "fe80::1%eth0",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "93.184.216.34", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.1", "172.15.255.255", "172.32.0.1", "192.0.1.1", "198.17.255.255", "198.20.0.1",
    "223.255.255.254",
    "2001:4860:4860::8888", "2606:4700::1111", "2a00:1450::1", "2003::1",
]  # fmt: skip
ISATAP = "2a00:1450::5efe:10.0.0.1"


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_not_permitted(address: str) -> None:
    assert not is_permitted(ip_address(address), ())


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_permitted(address: str) -> None:
    assert is_permitted(ip_address(address), ())


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_an_address_that_the_standard_library_calls_private_is_not_public(address: IPv4Address | IPv6Address) -> None:
    assert address.is_global or not is_public(address)
    assert not (address.is_multicast and is_public(address))


@given(st.ip_addresses(v=4))
def test_ipv4_is_public_where_the_standard_library_says_global(address: IPv4Address) -> None:
    exceptions = [IPv4Network("224.0.0.0/4"), IPv4Network("192.88.99.0/24"), IPv4Network("192.0.0.0/24")]
    if address.is_global and not any(address in network for network in exceptions):
        assert is_public(address)


def test_an_allowed_network_permits_its_addresses_and_no_others() -> None:
    allowed = [ip_network("10.1.0.0/16"), ip_network("fd00::/8"), ip_network("::1/128")]
    assert is_permitted(ip_address("10.1.2.3"), allowed)
    assert is_permitted(ip_address("fd00::7"), allowed)
    assert is_permitted(ip_address("::1"), allowed)
    assert not is_permitted(ip_address("10.2.0.1"), allowed)
    assert not is_permitted(ip_address("::ffff:10.1.2.3"), allowed)
    assert not is_permitted(ip_address("fd00::7%eth0"), allowed)


@pytest.mark.parametrize(
    "template",
    ["::{}", "::ffff:{}", "::ffff:0:{}", "64:ff9b::{}", "64:ff9b:1::{}", "fd00::5efe:{}", "fd00::200:5efe:{}"],
)
@given(address=st.ip_addresses(v=4))
def test_allowing_ipv6_networks_does_not_open_the_ipv4_inside(template: str, address: IPv4Address) -> None:
    packet = IPv6Address(template.format(address))
    everything = [IPv6Network("::/0")]
    if int(packet) > 1:
        assert packed(packet) == (address,)
        assert is_permitted(packet, everything) == is_public(address)


@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 2**80 - 1))
def test_an_ipv6_tunnel_is_permitted_only_to_permitted_ipv4_addresses(
    server: IPv4Address, client: IPv4Address, rest: int
) -> None:
    everything = [IPv6Network("::/0")]
    sixtofour = IPv6Address((0x2002 << 112) | (int(server) << 80) | rest)
    teredo = IPv6Address((0x2001_0000 << 96) | (int(server) << 64) | (int(client) ^ 0xFFFF_FFFF))
    assert is_permitted(sixtofour, everything) == is_public(server)
    assert is_permitted(teredo, everything) == (is_public(server) and is_public(client))


def test_a_private_tunnel_end_under_a_public_prefix_is_seen() -> None:
    assert is_public(ip_address(ISATAP))
    assert not is_permitted(ip_address(ISATAP), ())
