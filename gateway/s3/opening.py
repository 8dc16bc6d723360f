"""The first words with an S3 server: is it up, does it know us, has it our buckets."""

import asyncio
import ssl
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from anyio import move_on_after
from minio.error import S3Error
from minio.helpers import check_bucket_name
from urllib3.exceptions import MaxRetryError, SSLError

from gateway.logs import get_logger
from gateway.problems import Problem
from gateway.s3.client import S3Client
from gateway.s3.credentials import Identity
from gateway.s3.errors import OVER, UNANSWERED, reason_of
from gateway.s3.objects import make_bucket
from gateway.settings import Settings, SettingsError

_PATIENCE_S = 30
_PAUSE_S = 0.5
_HANDSHAKE_S = 2.0
_TLS_PORT = 443
_NOTHING = "=/"
"""A prefix that no key of gateway.jobs.objects has."""

_CREDENTIALS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"})
_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "InvalidRegionName"}
)
_PASSING = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)

_log = get_logger("gateway.s3")


def checked_bucket(settings: Settings, name: str) -> str:
    """The bucket that a setting names. Raises SettingsError where no bucket can have that name."""
    bucket = str(getattr(settings, name))
    try:
        check_bucket_name(bucket)
    except ValueError as error:
        raise SettingsError(f"{settings.variable(name)}={bucket}: {error}") from error
    return bucket


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
                reason = await _passing(settings, error)
            await asyncio.sleep(_PAUSE_S)
    detail = f"No S3 server at MINIO_ENDPOINT={settings.minio_endpoint} within {_PATIENCE_S} s: {reason}"
    raise Problem("storage_unavailable", detail, retry_after=_PATIENCE_S)


async def _look(client: S3Client, settings: Settings, bucket: str) -> None:
    """List nothing: unlike HEAD, a GET is refused with a reason."""
    try:
        await client.call(lambda sdk: list(sdk.list_objects(bucket, _NOTHING)))
    except S3Error as error:
        if error.code == "NoSuchBucket":
            await _make(client, settings, bucket)
        elif error.code == "AccessDenied" and client.identity.provider:
            _log.warning("S3 does not let us list the bucket; whether it is there will show in use", bucket=bucket)
        else:
            raise _wrong_setting(settings, client.identity, error) or error from error


async def _make(client: S3Client, settings: Settings, bucket: str) -> None:
    try:
        await client.call(lambda sdk: make_bucket(sdk, bucket))
    except S3Error as error:
        if error.code != "AccessDenied":
            raise _wrong_setting(settings, client.identity, error) or error from error
        raise SettingsError(f"the bucket {bucket} does not exist, and S3 does not let us make it") from error
    _log.info("bucket made", bucket=bucket)


async def _passing(settings: Settings, error: Exception) -> str:
    """Why the server does not answer yet. Raises SettingsError where it never will, spoken to like this."""
    reason = reason_of(error)
    if isinstance(error, MaxRetryError) and isinstance(error.reason, SSLError):
        remedy = "unset MINIO_SECURE, or name its authority with MINIO_CA_FILE"
        raise SettingsError(f"MINIO_ENDPOINT={settings.minio_endpoint}: no TLS with it: {reason}; {remedy}") from error
    if not settings.minio_secure and await _speaks_tls(settings.minio_endpoint):
        remedy = "it speaks TLS; set MINIO_SECURE=true"
        raise SettingsError(f"MINIO_ENDPOINT={settings.minio_endpoint}: {remedy}") from error
    return reason


async def _speaks_tls(endpoint: str) -> bool:
    """Whether a handshake gets as far as the server's certificate, whose it may be."""
    address = urlsplit(f"https://{endpoint}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with move_on_after(_HANDSHAKE_S), suppress(OSError):
        _, writer = await asyncio.open_connection(address.hostname, address.port or _TLS_PORT, ssl=context)
        writer.close()
        return True
    return False


def _wrong_setting(settings: Settings, identity: Identity, error: S3Error) -> SettingsError | None:
    if error.code in _CREDENTIALS | OVER:
        said = f"refused by {settings.minio_endpoint}: {error.code}, {error.message}"
        where = identity.origin if identity.provider else f"no keys found ({identity.origin}); requests without any"
        return SettingsError(f"{where}: {said}")
    if error.code in _REGION:
        variable = settings.variable("minio_region")
        return SettingsError(f"{variable}={settings.minio_region}: {error.code}, {error.message}")
    status = error.response.status
    if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
        return SettingsError(f"MINIO_ENDPOINT={settings.minio_endpoint}: S3 refuses us: {error.code}, {error.message}")
    return None
