from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.fetching.guard import Guard, check_url, is_public, parse_url
from tests.names import Names

PRIVATE_IPV4 = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
    "240.0.0.0/4",
]  # fmt: skip
PRIVATE_IPV6 = ["::/127", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8", "2001::/23", "2001:db8::/32", "100::/64"]
GLOBAL_IPV6 = ["2400::/12", "2600::/16", "2a00::/12", "2c00::/12"]


def notations(address: IPv4Address) -> list[str]:
    """The ways to write an IPv4 address that some client somewhere understands."""
    number, (a, b, c, d) = int(address), address.packed
    sixtofour = IPv6Address((0x2002 << 112) | (number << 80))
    teredo = IPv6Address((0x2001_0000 << 96) | (0x0808_0808 << 64) | (number ^ 0xFFFF_FFFF))
    full_width = str(address).translate({48 + digit: 0xFF10 + digit for digit in range(10)})
    return [
        str(address), str(number), hex(number), f"0{number:o}", f"{a}.{b}.{c * 256 + d}", f"{a}.{number % 2**24}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a:#x}.{b:#x}.{c:#x}.{d:#x}", f"{a:#X}.{b}.{c}.{d}", f"{address}.",
        f"00{a}.{b}.{c}.{d}", str(address).replace(".", "%2e"), str(address).replace(".", "。"), full_width,
        f"[::ffff:{address}]", f"[::{address}]", f"[::ffff:0:{address}]", f"[64:ff9b::{address}]", f"[{sixtofour}]",
        f"[{teredo}]", f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]", f"[{sixtofour.exploded.upper()}]",
    ]  # fmt: skip


def refuses(url: str) -> bool:
    try:
        check_url(url, ())
    except Problem as problem:
        return problem.code == "url_not_allowed"
    return False


@pytest.mark.parametrize("network", PRIVATE_IPV4)
@given(data=st.data())
def test_a_private_address_is_refused_in_every_notation(network: str, data: st.DataObject) -> None:
    address = data.draw(st.ip_addresses(network=network))
    for host in notations(address):
        assert refuses(f"http://{host}/a.jpg"), host
        assert refuses(f"https://{host}:8443/a.jpg"), host


@pytest.mark.parametrize("network", PRIVATE_IPV6)
@given(data=st.data())
def test_a_private_ipv6_address_is_refused_in_every_notation(network: str, data: st.DataObject) -> None:
    address = data.draw(st.ip_addresses(network=network))
    for host in (
        address.compressed,
        address.exploded,
        address.compressed.upper(),
        f"{address}%eth0",
        f"{address}%25lo",
    ):
        assert refuses(f"http://[{host}]/a.jpg"), host


@given(st.ip_addresses(v=4).filter(is_public))
def test_a_public_address_passes(address: IPv4Address) -> None:
    check_url(f"http://{address}/a.jpg", ())


@pytest.mark.parametrize("network", GLOBAL_IPV6)
@given(data=st.data())
def test_a_public_ipv6_address_passes(network: str, data: st.DataObject) -> None:
    number = int(data.draw(st.ip_addresses(network=network))) & ~(0xFFFF << 32)  # no ISATAP
    check_url(f"https://[{IPv6Address(number)}]:8443/a.jpg", ())


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com", "https://example.com/a.jpg?b=c#d", "HTTPS://EXAMPLE.COM:8443/", "http://93.184.216.34/",
        "http://[2606:4700::1111]:8080/a", "https://bücher.example/", "https://xn--bcher-kva.example/",
        "http://a_b.example/", "http://1e100.net/", "http://127.0.0.1.nip.example/", "http://example.com:65535/",
        "http://minio:9000/masks/a.png", "https://example.com/a%20b/@c?d=@e", "http://3com.example.x1/",
    ],
)  # fmt: skip
def test_an_ordinary_url_passes(url: str) -> None:
    check_url(url, ())


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "photos.localhost"])
def test_localhost_follows_the_allowed_networks(host: str) -> None:
    assert refuses(f"http://{host}:9000/")
    check_url(f"http://{host}:9000/", [ip_network("127.0.0.0/8")])


def test_an_allowed_network_opens_its_literal_addresses() -> None:
    check_url("http://10.0.0.7/a.jpg", [IPv4Network("10.0.0.0/24")])
    with pytest.raises(Problem) as caught:
        check_url("http://10.0.1.7/a.jpg", [IPv4Network("10.0.0.0/24")])
    assert "10.0.1.7 is not a public address" in caught.value.detail


@pytest.mark.parametrize(
    "answer", ["127.0.0.1", "93.184.216.34 10.0.0.1", "2606:4700::1 ::1", "::ffff:8.8.8.8", "fe80::1%2"]
)
async def test_a_name_with_any_private_address_is_refused_without_naming_it(answer: str) -> None:
    with pytest.raises(Problem) as caught:
        await Guard((), Names(a_example=answer).resolve).addresses(parse_url("http://a.example/"))
    assert caught.value.code == "url_not_allowed"
    assert not any(address in caught.value.detail for address in answer.split())


async def test_addresses_keep_the_resolvers_order() -> None:
    names = Names(a_example="2606:4700::1 93.184.216.34")
    addresses = await Guard((), names.resolve).addresses(parse_url("http://a.example/"))
    assert [str(address) for address in addresses] == ["2606:4700::1", "93.184.216.34"]
    assert names.asked == ["a.example"]


async def test_a_literal_ip_address_is_not_looked_up() -> None:
    names = Names()
    assert await Guard((), names.resolve).addresses(parse_url("http://8.8.8.8/")) == (IPv4Address("8.8.8.8"),)
    assert names.asked == []


@pytest.mark.parametrize("names", [Names(), Names(a_example="")])
async def test_a_name_without_an_address_is_a_transient_failure(names: Names) -> None:
    with pytest.raises(Problem) as caught:
        await Guard((), names.resolve).addresses(parse_url("http://a.example/"))
    assert caught.value.code == "url_unreachable"
    assert caught.value.transient
