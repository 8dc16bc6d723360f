"""Artifacts into the bucket of masks, under the keys of their job."""

import asyncio
from collections.abc import Sequence

from gateway.artifacts import Artifact
from gateway.jobs.bucket import Bucket
from gateway.jobs.job import NewJob, StoredArtifact
from gateway.jobs.uploads import object_key


async def store_artifacts(bucket: Bucket, job: NewJob, artifacts: Sequence[Artifact]) -> tuple[StoredArtifact, ...]:
    """Write all at the same time; every write has ended when this returns or raises.

    Raises Problem `storage_unavailable`, `queue_full`.
    """
    written = await asyncio.gather(*(_put(bucket, job, artifact) for artifact in artifacts), return_exceptions=True)
    for result in written:
        if isinstance(result, BaseException):
            raise result
    return tuple(result for result in written if isinstance(result, StoredArtifact))


async def _put(bucket: Bucket, job: NewJob, artifact: Artifact) -> StoredArtifact:
    key = object_key(job, artifact.name)
    await bucket.put(key, artifact.data, artifact.media_type)
    return StoredArtifact(artifact.name, key, artifact.media_type, len(artifact.data))
