import asyncio
from uuid import uuid4

import pytest

from gateway.errors import Problem
from gateway.jobs.job import Lease
from gateway.worker import attempts
from gateway.worker.attempts import ClaimedJob, LeaseLostError
from tests.unit.gateway.worker.jobs import job

LEASE_S = 10.0


class Store:
    """A store that answers as it is told to, after so many seconds of the clock."""

    def __init__(self, *answers: tuple[bool | Problem, float]) -> None:
        self.now = 100.0
        self.asked = 0
        self._answers = list(answers)

    async def renew(self, _lease: Lease) -> bool:
        answer, took_s = self._answers[self.asked]
        self.asked += 1
        self.now += took_s
        if isinstance(answer, Problem):
            raise answer
        return answer

    def claimed(self) -> ClaimedJob:
        return ClaimedJob(Lease(job(), uuid4()), self.renew, LEASE_S, lambda: self.now)


async def test_a_lease_that_holds_is_asked_for_once() -> None:
    store = Store((True, 1.0))
    await store.claimed().confirm()
    assert store.asked == 1


async def test_a_stale_lease_confirmation_is_asked_for_again() -> None:
    store = Store((True, 11.0), (True, 10.0), (True, 9.9))
    await store.claimed().confirm()
    assert store.asked == 3


@pytest.mark.parametrize("before", [(), ((True, 11.0),)])
async def test_an_expired_lease_is_lost(before: tuple[tuple[bool, float], ...]) -> None:
    claimed = Store(*before, (False, 0.0)).claimed()
    with pytest.raises(LeaseLostError):
        await claimed.confirm()
    assert claimed.lost


async def test_a_store_that_is_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_PAUSE_S", 0.0)
    store = Store((Problem("store_unavailable", "away"), 1.0), (True, 1.0))
    await asyncio.wait_for(store.claimed().confirm(), 10)
    assert store.asked == 2
