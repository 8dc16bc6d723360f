from hypothesis import given
from hypothesis import strategies as st

from gateway.worker.attempts import retry_delay_s


@given(st.integers(1, 1000))
def test_each_wait_doubles_up_to_a_minute_give_or_take_a_fifth(attempts: int) -> None:
    base = min(60.0, 2.0 ** (attempts - 1))
    assert 0.8 * base <= retry_delay_s(attempts) <= 1.2 * base


def test_jobs_that_failed_together_are_retried_at_different_times() -> None:
    assert len({retry_delay_s(3) for _ in range(20)}) > 10
