"""Where the tests hand jobs in and see them end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import anyio

from gateway.jobs.job import Callback, ImageReference, Job, NewJob
from gateway.jobs.objects import photo_key
from gateway.settings import Settings
from gateway.stores import Stores, open_stores


@dataclass(frozen=True)
class Desk:
    """The stores, as a gateway has them."""

    settings: Settings
    stores: Stores

    async def submit(
        self,
        photo: bytes | None = None,
        url: str = "",
        user_id: str = "",
        mask_types: str = '"upper_body"',
        callbacks: tuple[Callback, ...] = (),
        request_id: str = "",
    ) -> Job:
        """A job, with a photo or a URL."""
        job_id = uuid4()
        if photo is not None:
            await self.stores.photos.put(photo_key(job_id), photo, "image/png")
        image = ImageReference("url", url) if photo is None else ImageReference("photo", photo_key(job_id))
        parameters = f'{{"mask_types": [{mask_types}], "gender": "F"}}'
        request = NewJob(
            job_id,
            "body_masks",
            user_id,
            request_id or job_id.hex,
            job_id.bytes,
            parameters,
            image,
            "http",
            uuid4().hex,
            callbacks=callbacks,
        )
        (submission,) = await self.stores.jobs.submit([request])
        return submission.job

    async def now(self, job: Job) -> Job:
        """The job as it is."""
        found = await self.stores.jobs.get(job.id)
        assert found is not None
        return found

    async def ended(self, job: Job, timeout_s: float = 60) -> Job:
        """The job, once it has its outcome."""

        async def has_ended() -> bool:
            return (await self.now(job)).finished

        await until(has_ended, timeout_s, f"job {job.id} ends")
        return await self.now(job)

    async def emptied(self) -> None:
        """Wait until no photo is kept any more: it is removed after its job's outcome is known."""

        async def holds_none() -> bool:
            return await self.stores.photos.keys("") == []

        await until(holds_none, 30, "the photos are removed")

    async def artifacts(self, job: Job) -> dict[str, bytes]:
        """What a completed job made, by name."""
        assert job.outcome is not None
        return {made.name: (await self.stores.artifacts.get(made.key)).data for made in job.outcome.artifacts}


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float, what: str) -> None:
    """Wait until the condition holds; fail with `what`."""
    with anyio.move_on_after(timeout_s):
        while not await condition():
            await anyio.sleep(0.05)
        return
    raise AssertionError(f"not within {timeout_s} s: {what}")


@asynccontextmanager
async def open_desk(settings: Settings) -> AsyncIterator[Desk]:
    """A desk for as long as the context lasts."""
    async with open_stores(settings) as stores:
        yield Desk(settings, stores)
