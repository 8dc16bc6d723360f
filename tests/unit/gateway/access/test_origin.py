import pytest

from gateway.access.callers import EVERYTHING, LOCAL, Caller, owner_by_address, owner_of, rate_limited_names
from gateway.limits.fairness import Owner


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
def test_a_callers_network_address_identifies_it(peer: str | None, expected: str) -> None:
    assert owner_by_address({"client": (peer, 1) if peer is not None else None}).name == expected


def test_an_authenticated_caller_counts_as_itself() -> None:
    address = Owner("192.0.2.7", "192.0.2.7")
    assert owner_of(LOCAL, address) == address
    assert owner_of(Caller("key:1", "", EVERYTHING), address) == Owner("key:1", "key:1")
    assert owner_of(Caller("key:1", "acme", EVERYTHING), address) == Owner("tenant:acme", "key:1")


def test_a_request_counts_against_the_rate_limits_of_its_caller() -> None:
    address = Owner("192.0.2.7", "192.0.2.7")
    tokens = {rate_limited_names(Caller("token:ann", tenant, ()), address) for tenant in ("acme", "globex", "")}
    assert tokens == {("acme/token:ann", "acme"), ("globex/token:ann", "globex"), ("/token:ann", "")}
    assert rate_limited_names(Caller.by_key("1", "acme", ()), address) == ("acme/key:1", "")
    assert rate_limited_names(LOCAL, address) == ("192.0.2.7", "")
