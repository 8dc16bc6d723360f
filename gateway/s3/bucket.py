"""The two buckets: photos that jobs wait with, and what jobs made."""

import io
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anyio import to_thread
from minio import Minio
from minio.error import S3Error
from minio.sse import Sse, SseKMS, SseS3
from typing_extensions import override

from gateway.jobs.objects import Bucket, StoredObject
from gateway.s3.client import S3Client, await_bucket, checked_bucket, make_bucket, opened, patience_s, storage_errors
from gateway.s3.erasing import Eraser
from gateway.s3.images import KeyLink, S3Images, artifact_links, warn_of_ending_keys, warn_of_short_links
from gateway.settings import Settings, SettingsError

_PART_BYTES = 8 * 1024 * 1024
"""Larger objects are sent in parts: one part must be sent within the socket's time limit, which needs 17 Mbit/s."""


class S3Bucket(Bucket):
    """One bucket. Objects that are read have MAX_BODY_BYTES at most; what is written is encrypted as S3_SSE says."""

    def __init__(self, client: S3Client, bucket: str, settings: Settings) -> None:
        self._client = client
        self._bucket = bucket
        self._largest_bytes = settings.max_body_bytes
        self._sse = encryption(settings)
        self._eraser = Eraser(client, bucket)

    async def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write an object; a missing bucket is made again."""
        content = Timed(StoredObject(data, media_type), time.monotonic() + patience_s(len(data)))
        with storage_errors():
            await self._client.call(lambda sdk: write(sdk, self._bucket, key, content, self._sse), len(data))

    async def get(self, key: str) -> StoredObject:
        """Read an object. Raises ObjectMissingError."""
        with storage_errors():
            return await self._client.call(lambda sdk: read(sdk, self._bucket, key), self._largest_bytes)

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove objects with all their versions; missing ones count as removed. Raises ObjectsKeptError."""
        with storage_errors():
            await self._eraser.erase(keys)

    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with the prefix, also of objects of which only older versions are left."""
        with storage_errors():
            versions = await self._eraser.keeps_versions()
            return await self._client.call(lambda sdk: keys_of(sdk, self._bucket, prefix, versions=versions))

    async def check(self) -> None:
        """Return if the server answers."""
        with storage_errors():
            await self._client.call(lambda sdk: ask(sdk, self._bucket))


@dataclass(frozen=True)
class S3Buckets:
    """The buckets, the reader of photos that callers keep in S3, and what makes a link to an artifact of its key."""

    photos: S3Bucket
    artifacts: S3Bucket
    images: S3Images
    link: KeyLink


@asynccontextmanager
async def open_buckets(settings: Settings) -> AsyncIterator[S3Buckets]:
    """The buckets for as long as the context lasts; missing ones are made.

    Raises SettingsError if S3 refuses what the settings say; Problem `storage_unavailable` if there is no server within
    30 s.
    """
    if settings.minio_photo_bucket == settings.minio_bucket:
        raise SettingsError(
            "MINIO_PHOTO_BUCKET: another bucket than MINIO_BUCKET is needed, whose objects links may show to all"
        )
    encryption(settings)
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


def encryption(settings: Settings) -> Sse | None:
    """How every object is encrypted; None to leave it to the bucket. Raises SettingsError."""
    if settings.s3_sse == "none":
        return None
    if settings.s3_sse == "AES256":
        return SseS3()
    if not settings.s3_sse_kms_key_id:
        raise SettingsError("S3_SSE_KMS_KEY_ID: needed with S3_SSE=aws:kms; Amazon's own key is alias/aws/s3")
    if not settings.minio_secure:
        raise SettingsError("S3_SSE=aws:kms: needs an S3 server that speaks TLS, and MINIO_SECURE=true")
    return SseKMS(settings.s3_sse_kms_key_id, settings.s3_sse_kms_context)


class Timed(io.BytesIO):
    """Data to be written. After the monotonic time `ends_at` nobody waits for it, so no further part is begun."""

    def __init__(self, content: StoredObject, ends_at: float) -> None:
        super().__init__(content.data)
        self.size = len(content.data)
        self.media_type = content.media_type
        self._ends_at = ends_at

    @override
    def read(self, size: int | None = -1, /) -> bytes:
        if time.monotonic() > self._ends_at:
            raise TimeoutError
        return super().read(size)


def write(sdk: Minio, bucket: str, key: str, content: Timed, sse: Sse | None) -> None:
    """Write an object; a missing bucket is made again. Raises TimeoutError when the content's time is over."""
    try:
        _write_once(sdk, bucket, key, content, sse)
    except S3Error as error:
        if error.code != "NoSuchBucket":
            raise
        make_bucket(sdk, bucket)
        content.seek(0)
        _write_once(sdk, bucket, key, content, sse)


def _write_once(sdk: Minio, bucket: str, key: str, content: Timed, sse: Sse | None) -> None:
    sdk.put_object(
        bucket,
        key,
        content,
        content.size,
        content.media_type,
        part_size=_PART_BYTES,
        num_parallel_uploads=1,
        sse=sse,
    )


def read(sdk: Minio, bucket: str, key: str) -> StoredObject:
    """Read an object whole."""
    with opened(sdk, bucket, key) as response:
        return StoredObject(response.read(), response.headers.get("Content-Type", "application/octet-stream"))


def keys_of(sdk: Minio, bucket: str, prefix: str, *, versions: bool) -> list[str]:
    """Every key that begins with the prefix; with `versions` also keys of which only older versions are left."""
    try:
        listed = sdk.list_objects(bucket, prefix, recursive=True, include_version=versions)
        return list(dict.fromkeys(item.object_name for item in listed if item.object_name is not None))
    except S3Error as error:
        if error.code == "NoSuchBucket":
            return []
        raise


def ask(sdk: Minio, bucket: str) -> None:
    """Ask whether the bucket exists; "access denied" is an answer too."""
    try:
        sdk.bucket_exists(bucket)
    except S3Error as error:
        if error.code != "AccessDenied":
            raise
