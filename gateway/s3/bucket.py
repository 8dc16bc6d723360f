"""The two buckets: photos that jobs wait with, and what jobs made."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anyio import to_thread

from gateway.jobs.objects import Bucket, StoredObject
from gateway.s3 import objects
from gateway.s3.client import S3Client, patience_s
from gateway.s3.erasing import Eraser
from gateway.s3.errors import storage_errors
from gateway.s3.images import S3Images
from gateway.s3.links import KeyLink, artifact_links, warn_of_ending_keys, warn_of_short_links
from gateway.s3.opening import await_bucket, checked_bucket
from gateway.settings import Settings, SettingsError


class S3Bucket(Bucket):
    """One bucket; an object to be read has MAX_BODY_BYTES at most, one that is written is encrypted as S3_SSE says."""

    def __init__(self, client: S3Client, bucket: str, settings: Settings) -> None:
        self._client = client
        self._bucket = bucket
        self._largest_bytes = settings.max_body_bytes
        self._sse = objects.encryption(settings)
        self._eraser = Eraser(client, bucket)

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write an object; a server that lost the bucket gets it again."""
        content = objects.Timed(StoredObject(data, media_type), time.monotonic() + patience_s(len(data)))
        with storage_errors():
            await self._client.call(lambda sdk: objects.write(sdk, self._bucket, key, content, self._sse), len(data))

    async def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissingError."""
        with storage_errors():
            return await self._client.call(lambda sdk: objects.read(sdk, self._bucket, key), self._largest_bytes)

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove objects with all their versions; missing ones count as removed. Raises ObjectsKeptError."""
        with storage_errors():
            await self._eraser.erase(keys)

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with the prefix, also of what is there as an older version alone."""
        with storage_errors():
            versions = await self._eraser.keeps_versions()
            return await self._client.call(lambda sdk: objects.keys(sdk, self._bucket, prefix, versions=versions))

    async def check(self) -> None:
        """Return where the server answers."""
        with storage_errors():
            await self._client.call(lambda sdk: objects.ask(sdk, self._bucket))


@dataclass(frozen=True)
class S3Buckets:
    """The buckets, the reader of photos that callers keep in S3, and links to artifacts by their keys."""

    photos: S3Bucket
    artifacts: S3Bucket
    images: S3Images
    link: KeyLink


@asynccontextmanager
async def open_buckets(settings: Settings) -> AsyncIterator[S3Buckets]:
    """The buckets for as long as the context lasts, made where they are missing.

    Raises SettingsError where S3 refuses what the settings say; Problem `storage_unavailable` where there is none
    within 30 s.
    """
    if settings.minio_photo_bucket == settings.minio_bucket:
        raise SettingsError(
            "MINIO_PHOTO_BUCKET: another bucket than MINIO_BUCKET is needed, whose objects links may show to all"
        )
    objects.encryption(settings)
    client = await to_thread.run_sync(S3Client, settings)
    try:
        for name in ("minio_photo_bucket", "minio_bucket"):
            await await_bucket(client, settings, checked_bucket(settings, name))
        warn_of_short_links(settings)
        if client.identity.temporary:
            warn_of_ending_keys(settings)
        yield _buckets(client, settings)
    finally:
        client.close()


def _buckets(client: S3Client, settings: Settings) -> S3Buckets:
    made = artifact_links(client.signer, settings)

    def link(key: str) -> str:
        with storage_errors():
            return made(key)

    return S3Buckets(
        S3Bucket(client, settings.minio_photo_bucket, settings),
        S3Bucket(client, settings.minio_bucket, settings),
        S3Images(client, settings),
        link,
    )
