"""Single steps with the synchronous SDK; each raises what the SDK raises."""

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager

from minio import Minio
from minio.error import S3Error
from minio.sse import Sse, SseKMS, SseS3
from typing_extensions import override
from urllib3.response import BaseHTTPResponse

from gateway.jobs.objects import StoredObject
from gateway.settings import Settings, SettingsError

_PART_BYTES = 8 * 1024 * 1024
"""Larger objects are sent in parts: one part must be sent within the socket's time limit, as 17 Mbit/s do."""


class Timed(io.BytesIO):
    """What is to be written: no part of it begins past the monotonic time `ends_at`, when nobody waits any more."""

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


_OURS_ALREADY = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})


def encryption(settings: Settings) -> Sse | None:
    """What every object is written with; None where S3 does as its bucket says. Raises SettingsError."""
    if settings.s3_sse == "none":
        return None
    if settings.s3_sse == "AES256":
        return SseS3()
    if not settings.s3_sse_kms_key_id:
        raise SettingsError("S3_SSE_KMS_KEY_ID: needed with S3_SSE=aws:kms; Amazon's own key is alias/aws/s3")
    if not settings.minio_secure:
        raise SettingsError("S3_SSE=aws:kms: needs an S3 server that speaks TLS, and MINIO_SECURE=true")
    return SseKMS(settings.s3_sse_kms_key_id, settings.s3_sse_kms_context)


def make_bucket(sdk: Minio, bucket: str) -> None:
    """Make a bucket, unless somebody else just did."""
    try:
        sdk.make_bucket(bucket)
    except S3Error as error:
        if error.code not in _OURS_ALREADY:
            raise


def write(sdk: Minio, bucket: str, key: str, content: Timed, sse: Sse | None) -> None:
    """Write an object; a server that lost the bucket gets it again. Raises TimeoutError, as the content does."""
    try:
        _write(sdk, bucket, key, content, sse)
    except S3Error as error:
        if error.code != "NoSuchBucket":
            raise
        make_bucket(sdk, bucket)
        content.seek(0)
        _write(sdk, bucket, key, content, sse)


@contextmanager
def opened(sdk: Minio, bucket: str, key: str) -> Iterator[BaseHTTPResponse]:
    """An object to be read; what is left unread costs the connection."""
    response = sdk.get_object(bucket, key)
    try:
        yield response
    finally:
        response.close()
        response.release_conn()


def read(sdk: Minio, bucket: str, key: str) -> StoredObject:
    """Read an object whole."""
    with opened(sdk, bucket, key) as response:
        return StoredObject(response.read(), response.headers.get("Content-Type", "application/octet-stream"))


def keys(sdk: Minio, bucket: str, prefix: str, *, versions: bool) -> list[str]:
    """Every key that begins with the prefix; with `versions` also those of which only older ones are left."""
    try:
        listed = sdk.list_objects(bucket, prefix, recursive=True, include_version=versions)
        return list(dict.fromkeys(item.object_name for item in listed if item.object_name is not None))
    except S3Error as error:
        if error.code == "NoSuchBucket":
            return []
        raise


def ask(sdk: Minio, bucket: str) -> None:
    """Ask whether there is the bucket; a server that may not say so has answered too."""
    try:
        sdk.bucket_exists(bucket)
    except S3Error as error:
        if error.code != "AccessDenied":
            raise


def _write(sdk: Minio, bucket: str, key: str, content: Timed, sse: Sse | None) -> None:
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
