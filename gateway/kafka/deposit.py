"""Puts what arrived into the stores: photos first, then jobs and poison in one transaction."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from gateway.jobs.bucket import Bucket, ObjectMissingError
from gateway.jobs.job import Failure, Job
from gateway.jobs.keys import photo_key
from gateway.jobs.poison import FROM_KAFKA, PoisonBook, poison_origin
from gateway.jobs.store import JobFilter, JobStore, Poison, Submission
from gateway.kafka.reader import Arrival, MessageReader
from gateway.metrics.instruments import TaskMetrics

_PUTS = 8
_MEDIA_TYPE = "application/octet-stream"


class Deposit:
    """Safe to repeat: the same arrivals give the same objects and the same jobs."""

    def __init__(
        self,
        jobs: JobStore,
        photos: Bucket,
        reader: MessageReader,
        metrics: TaskMetrics,
        poison: PoisonBook | None = None,
    ) -> None:
        """Without a poison book nothing that was given up begins anew."""
        self._jobs = jobs
        self._photos = photos
        self._reader = reader
        self._metrics = metrics
        self._poison = poison

    async def keep(self, arrivals: Sequence[Arrival], poison: Sequence[Poison]) -> None:
        """Return when everything is kept. Raises Problem `store_unavailable`, `storage_unavailable`."""
        recalled = [await self._recalled(arrival) for arrival in arrivals]
        poison = [*poison, *(one for one in recalled if isinstance(one, Poison))]
        arrivals = [one for one in recalled if isinstance(one, Arrival)]
        await self._put(arrivals)
        submissions = await self._jobs.submit([arrival.job for arrival in arrivals], poison)
        self._metrics.submitted(submissions)
        conflicts = [
            self._conflict(arrival)
            for arrival, submission in zip(arrivals, submissions, strict=True)
            if submission.result == "conflict"
        ]
        if conflicts:
            await self._jobs.submit([], conflicts)
        await self._remove_unused(arrivals, submissions)
        await self._replay(arrivals, submissions)

    async def _recalled(self, arrival: Arrival) -> Arrival | Poison | None:
        """The arrival with the photo that it names, of a message of the same tenant; poison where that is gone.

        None where there is nothing to do with it: a message may come again when its photo has gone with its work.
        """
        if arrival.recalls is None:
            return arrival
        if await self._is_settled(arrival):
            return None
        owner, key = await self._jobs.get(arrival.recalls), photo_key(arrival.recalls)
        if owner and owner.request.tenant == arrival.job.tenant and owner.request.source.startswith(FROM_KAFKA):
            with suppress(ObjectMissingError):
                return arrival.with_photo((await self._photos.get(key)).data)
        detail = f"image: the photo of job {key} is not there any more; send the photo itself"
        return self._reader.poison(arrival.message, Failure("object_missing", detail))

    async def _is_settled(self, arrival: Arrival) -> bool:
        """Whether its job, of its own id or the one whose photo it names, is at work, done or begun anew."""
        asked = arrival.job
        if await self._jobs.get(asked.id) or await self._jobs.deleting(asked.id):
            return True
        named = JobFilter(user_id=asked.user_id, request_id=asked.request_id, tenant=asked.tenant, limit=1)
        for job in await self._jobs.find(named):
            kept = job.request
            same = job.id == arrival.recalls and kept.pipeline == asked.pipeline
            if same and await self._jobs.parameters(job.id) == asked.parameters:
                return await self._begin_anew(job, arrival) if _was_given_up(job) else True
        return False

    async def _replay(self, arrivals: Sequence[Arrival], submissions: Sequence[Submission]) -> None:
        """A request that was given up and is sent again begins anew; the very message that comes again does not."""
        for arrival, submission in zip(arrivals, submissions, strict=True):
            job = submission.job
            if submission.result == "known" and job.id != arrival.job.id and _was_given_up(job):
                await self._begin_anew(job, arrival)

    async def _begin_anew(self, job: Job, arrival: Arrival) -> bool:
        """Once for each message."""
        return self._poison is not None and await self._poison.replay_job(job.id, arrival.job.id)

    async def _put(self, arrivals: Sequence[Arrival]) -> None:
        places = asyncio.Semaphore(_PUTS)

        async def put(key: str, photo: bytes) -> None:
            async with places:
                await self._photos.put(key, photo, _MEDIA_TYPE)

        puts = [put(photo_key(arrival.job.id), arrival.photo) for arrival in arrivals if arrival.photo is not None]
        for result in await asyncio.gather(*puts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _remove_unused(self, arrivals: Sequence[Arrival], submissions: Sequence[Submission]) -> None:
        """The photos of requests that had come before, whose job has a photo of its own."""
        unused = [
            photo_key(arrival.job.id)
            for arrival, submission in zip(arrivals, submissions, strict=True)
            if arrival.photo is not None and submission.job.id != arrival.job.id
        ]
        if unused:
            await self._photos.remove(unused)

    def _conflict(self, arrival: Arrival) -> Poison:
        job = arrival.job
        detail = f"request_id {job.request_id!r} of user {job.user_id!r} came before with other content; send a new id."
        return self._reader.poison(arrival.message, Failure("idempotency_conflict", detail))


def _was_given_up(job: Job) -> bool:
    return job.outcome is not None and poison_origin(job, job.outcome.failure) is not None
