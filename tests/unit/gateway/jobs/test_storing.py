"""What becomes of a name whose objects were being written."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.errors import Problem
from gateway.jobs.job import NewJob
from gateway.jobs.objects import ArtifactStore, Bucket, InUseError, UnansweredError
from gateway.pipelines.outputs import Artifact
from gateway.stores import Stores
from tests.unit.gateway.worker.jobs import memory, new_job

MASK = Artifact("dress_mask.png", b"mask")


class Broken(Bucket):
    """Raises what it is told to, where it is to write."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    async def put(self, key: str, _data: bytes, _media_type: str) -> None:
        if key.endswith(MASK.name):
            raise self._problem

    async def keys(self, _prefix: str) -> list[str]:
        return []


@pytest.fixture
async def stores() -> AsyncIterator[Stores]:
    async with memory() as opened:
        yield opened


async def write(stores: Stores, request: NewJob, problem: Problem) -> None:
    keys = ArtifactStore(stores.locks, stores.jobs, Broken(problem))
    async with keys.held(request, 0.0) as grip:
        await keys.store(grip, request, [Artifact("other.png", b""), MASK])


async def free(stores: Stores, request: NewJob) -> bool:
    try:
        async with ArtifactStore(stores.locks, stores.jobs, stores.artifacts).held(request, 0.0):
            return True
    except InUseError:
        return False


@pytest.mark.parametrize(
    ("problem", "is_free"),
    [
        (Problem("storage_unavailable", "S3 answered AccessDenied"), True),
        (UnansweredError("S3 did not answer", 5), False),
    ],
)
async def test_a_name_is_free_again_once_no_write_can_come(
    stores: Stores,
    problem: Problem,
    is_free: bool,  # noqa: FBT001 what is expected
) -> None:
    request = new_job("123")
    with pytest.raises(Problem, match="S3"):
        await write(stores, request, problem)
    assert await free(stores, request) is is_free
    assert await free(stores, replace(request, user_id="124"))


async def test_objects_without_an_outcome_are_removed_under_the_next_lock(stores: Stores) -> None:
    request = new_job("123")
    keys = ArtifactStore(stores.locks, stores.jobs, stores.artifacts)
    async with keys.held(request, 0.0) as grip:
        await keys.store(grip, request, [MASK])
    assert len(await stores.artifacts.keys("")) == 1
    assert await free(stores, request)
    assert await stores.artifacts.keys("") == []
