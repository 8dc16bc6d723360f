from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.jobs.job import Job
from gateway.jobs.objects import artifact_key, prefixes_of
from gateway.pipelines.outputs import Failure
from gateway.stores import Stores
from gateway.worker.retention import Removals
from tests.unit.gateway.worker.jobs import job, memory, new_job

TRANSIENT, LASTING = Failure("triton_unavailable", "away"), Failure("no_person", "nobody")
NAMES = ("upper_body_mask.png", "person_0/dress_mask.png")

ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)


@given(ids, ids, ids, ids)
@example("1", "1", "request", "request2")
def test_the_prefix_is_that_of_the_jobs_artifacts_alone(user: str, other_user: str, request: str, other: str) -> None:
    (prefix,) = prefixes_of(replace(new_job(user), request_id=request))
    assert artifact_key(user, request, "person_0/dress_mask.png").startswith(prefix)
    if (user, request) != (other_user, other):
        assert not artifact_key(other_user, other, "dress_mask.png").startswith(prefix)


@pytest.mark.parametrize(
    ("source", "failure", "photos", "artifacts"),
    [
        ("http", None, 0, 2),
        ("http", LASTING, 0, 0),
        ("http", TRANSIENT, 0, 0),
        ("kafka:mask_input/0/7", None, 0, 2),
        ("kafka:mask_input/0/7", LASTING, 0, 0),
        ("kafka:mask_input/0/7", TRANSIENT, 1, 0),
    ],
)
async def test_an_ended_job_keeps_what_it_is_still_needed_for(
    source: str, failure: Failure | None, photos: int, artifacts: int
) -> None:
    async with memory() as stores:
        ended, other = job(new_job("123", source)), job(new_job("123"))
        await fill(stores, ended)
        await fill(stores, other)
        await Removals(stores).tidy(ended, failure)
        assert await count(stores, ended) == (photos, artifacts)
        assert await count(stores, other) == (1, 2)


async def test_a_photo_that_did_not_come_with_the_job_is_left_alone() -> None:
    async with memory() as stores:
        mine, other = job(new_job()), job(new_job())
        await fill(stores, other)
        image = replace(mine.request.image, kind="url", location=other.request.image.location)
        await Removals(stores).tidy(job(replace(mine.request, image=image)), None)
        assert await count(stores, other) == (1, 2)


async def fill(stores: Stores, owner: Job) -> None:
    await stores.photos.put(owner.request.image.location, b"photo", "image/png")
    for name in NAMES:
        key = artifact_key(owner.request.user_id, owner.request.request_id, name)
        await stores.artifacts.put(key, b"mask", "image/png")


async def count(stores: Stores, owner: Job) -> tuple[int, int]:
    photos = await stores.photos.keys(owner.request.image.location)
    return len(photos), len(await stores.artifacts.keys(prefixes_of(owner.request)[0]))
