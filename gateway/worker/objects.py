"""Which of a job's objects are still needed, and the removal of the others."""

from gateway.jobs.job import Failure, Job
from gateway.jobs.poison import poison_origin
from gateway.jobs.uploads import object_prefixes
from gateway.stores import Stores


def photo_needed(job: Job, failure: Failure | None) -> bool:
    """Whether an ended job may run again with the photo it came with: a message whose failure may pass."""
    return poison_origin(job, failure) is not None


class JobObjects:
    """The photos and artifacts of jobs. Every method raises Problem `storage_unavailable`."""

    def __init__(self, stores: Stores) -> None:
        self._photos = stores.photos
        self._artifacts = stores.artifacts

    async def tidy(self, job: Job, failure: Failure | None) -> None:
        """Remove what an ended job needs no more: its photo, and the artifacts of one that failed."""
        if failure is not None:
            await self.remove_artifacts(job)
        if not photo_needed(job, failure):
            await self.remove_photo(job)

    async def remove_photo(self, job: Job) -> None:
        """Remove the photo that came with the job, if one did."""
        if job.request.image.kind == "photo":
            await self._photos.remove([job.request.image.location])

    async def remove_artifacts(self, job: Job) -> None:
        """Remove every artifact, also those that no outcome names."""
        for prefix in object_prefixes(job):
            keys = await self._artifacts.keys(prefix)
            await self._artifacts.remove([key for key in keys if "/" not in key.removeprefix(prefix)])
