import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.hosts import Authority, WebOrigin, covers, host_pattern, matches_origin, origin_pattern

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?){0,3}", fullmatch=True)
addresses = st.ip_addresses(v=6).map(lambda address: f"[{address}]") | st.ip_addresses(v=4).map(str)
ports = st.integers(1, 65_535)


@given(names | addresses, ports)
def test_a_host_is_read_however_it_is_spelt(host: str, port: int) -> None:
    read = Authority.parse(f"{host}:{port}")
    assert (read.host, read.port) == (host.strip("[]"), port)
    assert Authority.parse(host.upper()).host == read.host
    if not host.startswith("["):
        assert Authority.parse(f"{host}.:{port}") == read


@given(st.text(max_size=30))
def test_any_host_header_is_a_plain_host_or_refused(text: str) -> None:
    try:
        read = Authority.parse(text)
    except ValueError:
        return
    assert re.fullmatch(r"[a-z0-9._~:-]+", read.host)
    assert read.port is None or 0 <= read.port < 65_536


@pytest.mark.parametrize(
    "text",
    ["", ":8000", ".", "a..b", "a b", "a@b", "user:pass@b", "a/b", "a?b", "[::1", "::1]", "[x]", "a:70000", "\uff41"],
)
def test_an_invalid_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        Authority.parse(text)


@pytest.mark.parametrize(
    "text", ["[::1]", "::1", "[::1]:8000", "[0:0::1]", "[::1%lo]", "[::FFFF:127.0.0.1]", "127.9.9.9"]
)
def test_loopback_has_many_spellings(text: str) -> None:
    address = Authority.parse(text).address
    assert address is not None
    assert address.is_loopback


@given(st.sampled_from(["http", "https", "app"]), names | addresses, ports)
def test_an_origin_matches_its_own_pattern_and_no_other(scheme: str, host: str, port: int) -> None:
    text = f"{scheme}://{host}:{port}"
    origin, pattern = WebOrigin.parse(text), origin_pattern(f"{text.upper()}/")
    assert matches_origin(pattern, origin)
    for other in (f"x{scheme}://{host}:{port}", f"{scheme}://{host}:{port % 65_535 + 1}"):
        assert not matches_origin(pattern, WebOrigin.parse(other))


@pytest.mark.parametrize(
    "text", ["null", "", "shop.example.com", "https://", "https://a/b", "https://a@b", "https://a?b", "*x"]
)
def test_an_invalid_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        origin_pattern(text)


@pytest.mark.parametrize(
    ("origin", "fits"),
    [
        ("https://shop.example.com", True),
        ("https://a.b.example.com:443", True),
        ("https://example.com", False),
        ("https://evilexample.com", False),
        ("https://example.com.evil.org", False),
        ("http://shop.example.com", False),
        ("https://shop.example.com:444", False),
    ],
)
def test_a_star_matches_every_subdomain(origin: str, fits: bool) -> None:  # noqa: FBT001
    assert matches_origin(origin_pattern("https://*.example.com"), WebOrigin.parse(origin)) == fits


@pytest.mark.parametrize(
    ("entry", "pattern"),
    [
        ("Masks.Example.com.", "masks.example.com"),
        ("https://masks.example.com:8443/", "masks.example.com"),
        ("[::1]:8000", "::1"),
        ("10.0.0.7", "10.0.0.7"),
        (".example.com", "*.example.com"),
        ("*.example.com", "*.example.com"),
        ("*", "*"),
    ],
)
def test_a_hosts_pattern_has_one_spelling(entry: str, pattern: str) -> None:
    assert host_pattern(entry) == pattern


def test_a_star_before_a_host_is_not_the_host_itself() -> None:
    assert not covers("*.example.com", "example.com")
    assert covers("*", "anything.example.org")
