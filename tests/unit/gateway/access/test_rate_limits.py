import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gateway.access.callers import RateLimits, TokenBucket
from gateway.errors import Problem
from gateway.settings import Settings

STEPS = st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), max_size=60)


@given(per_minute=st.integers(1, 1000), steps=STEPS)
def test_nobody_takes_more_than_the_limit_and_one_request(per_minute: int, steps: list[tuple[float, int]]) -> None:
    bucket, now, taken = TokenBucket(per_minute, 0.0), 0.0, 0
    for pause_s, amount in steps:
        now += pause_s
        if not bucket.wait_s(now):
            assert taken <= per_minute * (1 + now / 60)
            bucket.take(amount)
            taken += amount


@given(per_minute=st.integers(1, 10_000), taken=st.integers(0, 100_000))
def test_a_caller_who_waits_as_long_as_retry_after_is_accepted(per_minute: int, taken: int) -> None:
    bucket = TokenBucket(per_minute, 0.0)
    bucket.take(taken)
    wait_s = bucket.wait_s(0.0)
    assert (wait_s > 0) == (taken >= per_minute)
    assert bucket.wait_s(wait_s + 1e-6) == 0


def test_a_minute_without_requests_restores_the_whole_limit_and_no_more() -> None:
    bucket = TokenBucket(10, 0.0)
    bucket.take(10)
    assert bucket.wait_s(59) == 0
    assert bucket.used == pytest.approx(10 / 60)
    bucket.wait_s(1000)
    assert bucket.used == 0


def test_nothing_is_counted_without_rate_limits() -> None:
    bucket = TokenBucket(0, 0.0)
    bucket.take(10**12)
    assert bucket.wait_s(0.0) == 0


REQUEST = Request({"type": "http"})


def refused(limits: RateLimits, caller: str, tenant: str = "") -> bool:
    try:
        limits.charge(caller, tenant, REQUEST)
    except Problem as problem:
        if problem.code != "rate_limited" or "Retry-After" not in problem.headers:
            raise
        return True
    return False


def test_a_token_counts_against_its_own_rate_limit_and_its_tenants() -> None:
    settings = Settings(caller_requests_per_minute=3, tenant_requests_per_minute=5)
    limits = RateLimits(settings, lambda: 0.0)
    assert [refused(limits, "acme/token:ann", "acme") for _ in range(4)] == [False, False, False, True]
    assert [refused(limits, f"acme/token:{number}", "acme") for number in range(4)] == [False, False, True, True]
    assert not refused(limits, "globex/token:ann", "globex")
    assert not refused(limits, "acme/key:1")


def test_a_tenants_limit_is_ten_times_a_callers_by_default() -> None:
    limits = RateLimits(Settings(caller_requests_per_minute=2), lambda: 0.0)
    taken = sum(not refused(limits, f"acme/token:{number}", "acme") for number in range(100))
    assert taken == 20
    free = RateLimits(Settings(caller_requests_per_minute=2, tenant_requests_per_minute=0), lambda: 0.0)
    assert not any(refused(free, f"acme/token:{number}", "acme") for number in range(100))


async def test_the_bytes_of_a_body_count_for_caller_and_tenant() -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": bytes(100)}

    settings = Settings(caller_bytes_per_minute=1000, tenant_bytes_per_minute=100)
    limits = RateLimits(settings, lambda: 0.0)
    charged = limits.charge("acme/token:ann", "acme", Request({"type": "http"}, receive))
    await charged.receive()
    assert refused(limits, "acme/token:bob", "acme")


def test_a_crowd_of_callers_makes_nobodys_use_forgotten_and_takes_no_more_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.access.callers._MOST_KNOWN", 10)
    limits = RateLimits(Settings(caller_requests_per_minute=3), lambda: 0.0)
    for _ in range(3):
        assert not refused(limits, "greedy")
    for number in range(1000):
        assert not refused(limits, str(number))
    assert refused(limits, "greedy")
    assert len(limits._callers._known) <= 10


def test_a_forgotten_caller_has_as_much_left_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.access.callers._MOST_KNOWN", 4)
    limits = RateLimits(Settings(caller_requests_per_minute=2), lambda: 0.0)
    assert not refused(limits, "modest")
    for number in range(100):
        refused(limits, f"crowd-{number}")
        refused(limits, f"crowd-{number}")
    assert not refused(limits, "modest")
