import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.access.allowance import Allowance, Allowances
from gateway.access.caller import Caller
from gateway.problems import Problem
from gateway.settings import Settings

STEPS = st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), max_size=60)


@given(per_minute=st.integers(1, 1000), steps=STEPS)
def test_nobody_takes_more_than_the_limit_and_what_one_request_may_be(
    per_minute: int, steps: list[tuple[float, int]]
) -> None:
    allowance, now, taken = Allowance(per_minute, 0.0), 0.0, 0
    for pause_s, amount in steps:
        now += pause_s
        if not allowance.wait_s(now):
            assert taken <= per_minute * (1 + now / 60)
            allowance.take(amount)
            taken += amount


@given(per_minute=st.integers(1, 10_000), taken=st.integers(0, 100_000))
def test_who_waits_as_long_as_told_is_let_in(per_minute: int, taken: int) -> None:
    allowance = Allowance(per_minute, 0.0)
    allowance.take(taken)
    wait_s = allowance.wait_s(0.0)
    assert (wait_s > 0) == (taken >= per_minute)
    assert allowance.wait_s(wait_s + 1e-6) == 0


def test_a_minute_without_a_request_forgives_everything_and_no_more() -> None:
    allowance = Allowance(10, 0.0)
    allowance.take(10)
    assert allowance.wait_s(59) == 0
    assert allowance.debt == pytest.approx(10 / 60)
    allowance.wait_s(1000)
    assert allowance.debt == 0


def test_without_limits_nothing_is_counted() -> None:
    allowance = Allowance(0, 0.0)
    allowance.take(10**12)
    assert allowance.wait_s(0.0) == 0


def test_callers_who_took_nothing_lately_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.allowance._MANY", 3)
    now = 0.0
    allowances = Allowances(Settings(caller_requests_per_minute=1), lambda: now)

    def charge(name: str) -> None:
        allowances.charge(Caller(name, "", ()), Request({"type": "http"}))

    for name in "abc":
        charge(name)
    now = 30.0
    charge("d")
    with pytest.raises(Problem, match="rate_limited"):
        charge("a")
    now = 61.0
    for name in "efg":
        charge(name)
    assert set(allowances._accounts) == set("defg")


def test_many_callers_are_looked_through_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.allowance._MANY", 10)
    allowances, looks = Allowances(Settings(caller_requests_per_minute=1), lambda: 0.0), 0
    forget = allowances._forget

    def count(now: float) -> None:
        nonlocal looks
        looks += 1
        forget(now)

    monkeypatch.setattr(allowances, "_forget", count)
    for name in range(100):
        allowances.charge(Caller(str(name), "", ()), Request({"type": "http"}))
    assert (looks, len(allowances._accounts)) == (4, 100)
