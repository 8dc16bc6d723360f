import pytest

from gateway.backlog import ends_in_s
from gateway.jobs.store import QueueCounts


@pytest.mark.parametrize(("queued", "workers", "seconds"), [(0, 0, 0.2), (10, 0, 2.2), (10, 2, 1.2), (3000, 2, 300.2)])
def test_the_wait_grows_with_the_queue_without_a_bound(queued: int, workers: int, seconds: float) -> None:
    assert ends_in_s(QueueCounts(queued, 0, workers)) == pytest.approx(seconds)
