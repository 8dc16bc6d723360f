import pytest

from gateway.access import scopes
from gateway.access.caller import LOCAL, Caller
from gateway.access.origin import accounts_of, owner_by_address, owner_of
from gateway.limits.sharing import Owner


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        (None, ""),
        ("", ""),
    ],
)
def test_whose_a_request_is_by_its_address(peer: str | None, expected: str) -> None:
    assert owner_by_address({"client": (peer, 1) if peer is not None else None}).name == expected


def test_who_shows_who_it_is_counts_as_that() -> None:
    address = Owner("192.0.2.7", "192.0.2.7")
    assert owner_of(LOCAL, address) == address
    assert owner_of(Caller("key:1", "", scopes.EVERYTHING), address) == Owner("key:1", "key:1")
    assert owner_of(Caller("key:1", "acme", scopes.EVERYTHING), address) == Owner("tenant:acme", "key:1")


def test_whose_allowances_a_request_takes_from() -> None:
    address = Owner("192.0.2.7", "192.0.2.7")
    tokens = {accounts_of(Caller("token:ann", tenant, ()), address) for tenant in ("acme", "globex", "")}
    assert tokens == {("acme/token:ann", "acme"), ("globex/token:ann", "globex"), ("/token:ann", "")}
    assert accounts_of(Caller.by_key("1", "acme", ()), address) == ("acme/key:1", "")
    assert accounts_of(LOCAL, address) == ("192.0.2.7", "")
