"""The first words with an S3 server: is it up, does it know us, has it our buckets."""

import asyncio

from anyio import move_on_after
from minio.error import S3Error

from gateway.logs import get_logger
from gateway.problems import Problem
from gateway.s3.client import S3Client
from gateway.s3.errors import UNANSWERED, reason_of
from gateway.s3.objects import make_bucket
from gateway.settings import Settings, SettingsError

_PATIENCE_S = 30
_PAUSE_S = 0.5
_NOTHING = "=/"
"""A prefix that no key of gateway.jobs.keys has."""

_CREDENTIALS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"})
_REGION = frozenset({"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"})

_log = get_logger("gateway.s3")


async def await_bucket(client: S3Client, settings: Settings, bucket: str) -> None:
    """Wait for the server, and make the bucket where it is missing.

    Raises SettingsError where the server refuses the credentials or the region, or has no such bucket and lets none
    be made; Problem `storage_unavailable` where there is no server within 30 s.
    """
    reason = "no answer"
    with move_on_after(_PATIENCE_S):
        while True:
            try:
                return await _look(client, settings, bucket)
            except UNANSWERED as error:
                reason = reason_of(error)
            await asyncio.sleep(_PAUSE_S)
    detail = f"No S3 server at MINIO_ENDPOINT={settings.minio_endpoint} within {_PATIENCE_S} s: {reason}"
    raise Problem("storage_unavailable", detail, retry_after=_PATIENCE_S)


async def _look(client: S3Client, settings: Settings, bucket: str) -> None:
    """List nothing: unlike HEAD, a GET is refused with a reason."""
    try:
        await client.call(lambda sdk: list(sdk.list_objects(bucket, _NOTHING)))
    except S3Error as error:
        if error.code == "NoSuchBucket":
            await _make(client, bucket)
        elif error.code == "AccessDenied" and settings.minio_access_key:
            _log.warning("S3 does not let us list the bucket; whether it is there will show in use", bucket=bucket)
        else:
            raise _wrong_setting(settings, error) or error from error


async def _make(client: S3Client, bucket: str) -> None:
    try:
        await client.call(lambda sdk: make_bucket(sdk, bucket))
    except S3Error as error:
        if error.code != "AccessDenied":
            raise
        raise SettingsError(f"the bucket {bucket} does not exist, and S3 does not let us make it") from error
    _log.info("bucket made", bucket=bucket)


def _wrong_setting(settings: Settings, error: S3Error) -> SettingsError | None:
    if error.code in _CREDENTIALS:
        names = "MINIO_ACCESS_KEY, MINIO_SECRET_KEY"
        return SettingsError(f"{names}: refused by {settings.minio_endpoint}: {error.code}, {error.message}")
    if error.code in _REGION:
        return SettingsError(f"MINIO_REGION={settings.minio_region}: {error.code}, {error.message}")
    return None
