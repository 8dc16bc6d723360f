from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.timing import Backoff


@pytest.mark.parametrize(
    ("backoff", "pauses"),
    [
        (Backoff(0.5, 4.0), [0.5, 1.0, 2.0, 4.0, 4.0]),
        (Backoff(2.0, 5.0, factor=1.5), [2.0, 3.0, 4.5, 5.0, 5.0]),
        (Backoff(3.0, 1.0), [1.0, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_pauses_grow_by_the_factor_up_to_the_longest(backoff: Backoff, pauses: list[float]) -> None:
    assert list(islice(backoff.pauses(), 5)) == pauses
    assert [backoff.pause_s(failures) for failures in range(1, 6)] == pauses


def test_the_pause_before_any_failure_is_the_first_pause() -> None:
    assert Backoff(0.5, 4.0).pause_s(0) == 0.5


@given(st.integers(0, 10**9))
def test_jitter_changes_a_pause_by_its_share_at_most(failures: int) -> None:
    base = Backoff(1.0, 60.0).pause_s(failures)
    assert 0.8 * base <= Backoff(1.0, 60.0, jitter=0.2).pause_s(failures) <= 1.2 * base


def test_jitter_makes_pauses_differ() -> None:
    assert len({Backoff(1.0, 60.0, jitter=0.2).pause_s(3) for _ in range(20)}) > 10
