"""Objects of one bucket in S3: how they are written, read, listed, and removed for good."""

import asyncio
import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, MinioException, S3Error
from minio.sse import Sse, SseKMS, SseS3
from typing_extensions import override

from gateway.jobs.objects import Bucket, ObjectsKeptError, StoredObject
from gateway.logs import get_logger
from gateway.s3.client import MISSING, S3Client, make_bucket, opened, patience_s, storage_errors
from gateway.settings import Settings, SettingsError

_TOGETHER = 1000
"""Keys in one request: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html."""
_AT_A_TIME = 8
_FRESH_S = 60.0
"""How long we remember whether a bucket keeps versions; its owner may change that."""

_log = get_logger("gateway.s3")


@dataclass(frozen=True)
class _Doomed:
    """An object, or one version of it."""

    key: str
    version: str | None = None


class Eraser:
    """Removes objects of one bucket with all their versions; remembers whether the server has DeleteObjects.

    Google Cloud Storage, and gateways to other stores, answer DeleteObjects with 400, 403, 411 or 501. Every method
    raises what S3Client.call raises.
    """

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._together = True
        self._versioned = False
        self._asked_at = float("-inf")
        self._warned = False

    async def erase(self, keys: Sequence[str]) -> None:
        """Remove objects; missing ones count as removed. Raises ObjectsKeptError once all others are gone."""
        doomed = await self._all_versions(keys) if await self.keeps_versions() else [_Doomed(key) for key in keys]
        kept: dict[str, str] = {}
        for start in range(0, len(doomed), _TOGETHER):
            kept |= await self._erase(doomed[start : start + _TOGETHER])
        if kept:
            raise ObjectsKeptError({f"{self._bucket}/{key}": reason for key, reason in kept.items()})

    async def keeps_versions(self) -> bool:
        """Whether objects that are removed or overwritten stay as older versions."""
        if time.monotonic() - self._asked_at >= _FRESH_S:
            try:
                self._versioned = await self._client.call(lambda sdk: _keeps_versions(sdk, self._bucket))
            except (S3Error, InvalidResponseError) as error:
                await self._cannot_tell(error)
            self._asked_at = time.monotonic()
        return self._versioned

    async def _cannot_tell(self, error: S3Error | InvalidResponseError) -> None:
        """Act on a refusal: a server without versions may not know the question, and a missing bucket has none.

        If only the question is forbidden, there may be versions; then we see whether we may list them.
        """
        if _is_away(error):
            raise error
        if _is_missing(error):
            self._versioned = False
            return
        if _status(error) not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or self._warned:
            return
        self._versioned = await self._lists_versions()
        if not self._versioned:
            self._warned = True
            message = "S3 does not say whether the bucket keeps versions (s3:GetBucketVersioning); if so, old ones stay"
            _log.warning(message, bucket=self._bucket)

    async def _lists_versions(self) -> bool:
        try:
            await self._client.call(lambda sdk: next(sdk.list_objects(self._bucket, include_version=True), None))
        except (S3Error, InvalidResponseError) as error:
            if _is_away(error):
                raise
            return False
        return True

    async def _all_versions(self, keys: Sequence[str]) -> list[_Doomed]:
        found: list[_Doomed] = []
        for start in range(0, len(keys), _AT_A_TIME):
            some = keys[start : start + _AT_A_TIME]
            for versions in await asyncio.gather(*map(self._versions, some)):
                found += versions
        return found

    async def _versions(self, key: str) -> list[_Doomed]:
        return await self._client.call(lambda sdk: list(_versions(sdk, self._bucket, key)))

    async def _erase(self, doomed: Sequence[_Doomed]) -> dict[str, str]:
        """Remove at most 1000; return why some are kept, by key."""
        if len(doomed) == 1 or not self._together:
            return await self._one_by_one(doomed)
        try:
            return await self._client.call(lambda sdk: _together(sdk, self._bucket, doomed))
        except MinioException as error:
            if _is_away(error):
                raise
            if _is_missing(error):
                return {}
            kept = await self._one_by_one(doomed)
            self._together = len(kept) == len(doomed)
            if not self._together:
                _log.info("S3 removes no objects together, so they are removed one by one", reason=str(error))
            return kept

    async def _one_by_one(self, doomed: Sequence[_Doomed]) -> dict[str, str]:
        kept: dict[str, str] = {}
        for start in range(0, len(doomed), _AT_A_TIME):
            some = doomed[start : start + _AT_A_TIME]
            for one, reason in zip(some, await asyncio.gather(*map(self._one, some)), strict=True):
                kept |= {one.key: reason} if reason else {}
        return kept

    async def _one(self, doomed: _Doomed) -> str:
        """Remove one; return why it is kept, or nothing."""
        try:
            await self._client.call(lambda sdk: sdk.remove_object(self._bucket, doomed.key, doomed.version))
        except MinioException as error:
            if _is_away(error):
                raise
            if not _is_missing(error):
                return _reason(error)
        return ""


def _keeps_versions(sdk: Minio, bucket: str) -> bool:
    try:
        return sdk.get_bucket_versioning(bucket).status is not None
    except ValueError:  # a word other than `Enabled` and `Suspended`, for "never"
        return False


def _versions(sdk: Minio, bucket: str, key: str) -> Iterator[_Doomed]:
    """Delete markers are versions too; a missing bucket has none."""
    try:
        for item in sdk.list_objects(bucket, key, recursive=True, include_version=True):
            if item.object_name == key:
                yield _Doomed(key, item.version_id)
    except S3Error as error:
        if not _is_missing(error):
            raise


def _together(sdk: Minio, bucket: str, doomed: Sequence[_Doomed]) -> dict[str, str]:
    errors = sdk.remove_objects(bucket, [DeleteObject(one.key, one.version) for one in doomed])
    refused = [error for error in errors if error.code not in MISSING]
    if any(error.name is None for error in refused):  # the whole request was refused, with status 200
        raise InvalidResponseError(HTTPStatus.BAD_REQUEST, None, f"{refused[0].code}: {refused[0].message}")
    return {str(error.name): f"{error.code}, {error.message}" for error in refused}


def _is_away(error: MinioException) -> bool:
    """Whether the server fails. One that lacks a request answers 501, or complains about the request."""
    status = _status(error)
    return status != HTTPStatus.NOT_IMPLEMENTED and (
        status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS
    )


def _is_missing(error: MinioException) -> bool:
    return isinstance(error, S3Error) and error.code in MISSING


def _status(error: MinioException) -> int:
    """The answer's status; 500 for errors without an answer."""
    if isinstance(error, S3Error):
        return error.response.status
    return int(vars(error).get("_code", HTTPStatus.INTERNAL_SERVER_ERROR))


def _reason(error: MinioException) -> str:
    if isinstance(error, S3Error):
        return f"{error.code}, {error.message}"
    return f"HTTP status {_status(error)}"


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

    @override
    async def put(self, key: str, data: bytes, media_type: str) -> None:
        """Write an object; a missing bucket is made again."""
        content = Timed(StoredObject(data, media_type), time.monotonic() + patience_s(len(data)))
        with storage_errors():
            await self._client.call(lambda sdk: write(sdk, self._bucket, key, content, self._sse), len(data))

    @override
    async def get(self, key: str) -> StoredObject:
        with storage_errors():
            return await self._client.call(lambda sdk: read(sdk, self._bucket, key), self._largest_bytes)

    @override
    async def remove(self, keys: Sequence[str]) -> None:
        with storage_errors():
            await self._eraser.erase(keys)

    @override
    async def keys(self, prefix: str) -> list[str]:
        """Every key that begins with the prefix, also of objects of which only older versions are left."""
        with storage_errors():
            versions = await self._eraser.keeps_versions()
            return await self._client.call(lambda sdk: keys_of(sdk, self._bucket, prefix, versions=versions))

    @override
    async def check(self) -> None:
        with storage_errors():
            await self._client.call(lambda sdk: ask(sdk, self._bucket))


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
