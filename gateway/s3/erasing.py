"""Removes objects for good, also from servers that lack some of S3's requests, or that keep versions."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from minio import Minio
from minio.deleteobjects import DeleteObject
from minio.error import InvalidResponseError, MinioException, S3Error

from gateway.jobs.objects import ObjectsKeptError
from gateway.logs import get_logger
from gateway.s3.client import MISSING, S3Client

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
