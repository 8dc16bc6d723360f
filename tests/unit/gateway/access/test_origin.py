from ipaddress import ip_network

import pytest

from gateway.access import scopes
from gateway.access.caller import LOCAL, Caller
from gateway.access.origin import owner_by_address, owner_of
from gateway.visits import Owner

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def name(peer: str | None, *forwarded: str, trusted=TRUSTED) -> str:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    scope = {"type": "http", "client": (peer, 1) if peer is not None else None, "headers": headers}
    return owner_by_address(scope, trusted).name


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.7", (), "192.0.2.7"),
        ("::ffff:192.0.2.7", (), "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", (), "2001:db8:1:2::/64"),
        ("192.0.2.7", ("198.51.100.1",), "192.0.2.7"),  # nobody we believe
        ("10.0.0.1", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.1", ("198.51.100.1:4711",), "198.51.100.1"),
        ("fd00::1", ("[2001:db8::1]:4711",), "2001:db8::/64"),
        ("10.0.0.1", ("203.0.113.9, 198.51.100.1, 10.0.0.2",), "198.51.100.1"),  # the first the client made up
        ("10.0.0.1", ("203.0.113.9", "198.51.100.1", "10.0.0.2"), "198.51.100.1"),
        ("10.0.0.1", ("unknown",), "unknown"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("10.0.0.2",), "10.0.0.2"),
        (None, (), ""),
        ("", (), ""),
    ],
)
def test_whose_a_request_is_by_its_address(peer: str | None, forwarded: tuple[str, ...], expected: str) -> None:
    assert name(peer, *forwarded) == expected


def test_without_trusted_proxies_nothing_that_is_said_counts() -> None:
    assert name("10.0.0.1", "198.51.100.1", trusted=()) == "10.0.0.1"


def test_who_shows_who_it_is_counts_as_that() -> None:
    address = Owner("192.0.2.7", "192.0.2.7")
    assert owner_of(LOCAL, address) == address
    assert owner_of(Caller("key:1", "", scopes.EVERYTHING), address) == Owner("key:1", "key:1")
    assert owner_of(Caller("key:1", "acme", scopes.EVERYTHING), address) == Owner("tenant:acme", "key:1")
