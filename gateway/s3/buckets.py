"""The buckets in S3: our own, opened at the start, with links to artifacts; and those in which callers keep photos."""

import asyncio
import ssl
import unicodedata
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from urllib.parse import quote, urlsplit
from uuid import UUID

from anyio import move_on_after, to_thread
from minio import Minio
from minio.error import S3Error
from minio.helpers import check_bucket_name
from urllib3.exceptions import MaxRetryError, SSLError

from gateway.errors import Problem
from gateway.fetching.codings import CodingError, TooLargeError, coding_of, decoded
from gateway.jobs.job import ImageReference
from gateway.jobs.objects import ObjectMissingError, is_of_tenant, photo_key
from gateway.logs import get_logger
from gateway.s3.client import (
    OVER,
    UNANSWERED,
    Identity,
    S3Client,
    make_bucket,
    opened,
    reason_of,
    storage_errors,
)
from gateway.s3.objects import S3Bucket, encryption
from gateway.settings import Settings, SettingsError

_SCHEME = "s3://"
_KEY_BYTES = 1024
KeyLink = Callable[[str], str]
_LONGEST = timedelta(days=7)
"""Of a presigned link: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, X-Amz-Expires."""
_OPENING_S = 30
"""How long the server is waited for at the start."""
_LOOK_AGAIN_S = 0.5
_HANDSHAKE_S = 2.0
_TLS_PORT = 443
_NOTHING = "=/"
"""A prefix that none of our keys has."""
_CREDENTIALS = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"})
_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException", "InvalidRegionName"}
)
_PASSING = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)

_log = get_logger("gateway.s3")


def parse_location(text: str, settings: Settings) -> str:
    """`bucket/key` of `s3://bucket/key`, or of a bare key, which is in MINIO_BUCKET.

    Raises Problem `invalid_parameters`.
    """
    if not settings.minio_endpoint:
        raise _refused("type 's3' is not accepted: this server has no object store; accepted: base64, url")
    named = text if text.startswith(_SCHEME) else f"{_SCHEME}{settings.minio_bucket}/{text}"
    bucket, _, key = named.removeprefix(_SCHEME).partition("/")
    allowed = settings.image_buckets or (settings.minio_bucket,)
    if bucket not in allowed:
        raise _refused(f"bucket {bucket[:63]!r} is not accepted; accepted: {', '.join(allowed)}")
    _check_key(key)
    return f"{bucket}/{key}"


def waiting_photo(image: bytes | ImageReference, settings: Settings) -> str | None:
    """The key of a photo in MINIO_PHOTO_BUCKET, if the image is named as in the messages of the poison topic."""
    if isinstance(image, bytes) or image.kind != "s3":
        return None
    own, key = f"{_SCHEME}{settings.minio_photo_bucket}/", image.location
    if not settings.minio_photo_bucket or not key.startswith(own):
        return None
    try:
        return photo_key(UUID(key.removeprefix(own)))
    except ValueError:
        return None


def check_owner(image: bytes | ImageReference, tenant: str, settings: Settings) -> None:
    """Raise Problem `invalid_parameters` for an image in one of our own buckets that is another tenant's.

    The keys of waiting photos do not tell whose they are, so nobody may name them where tenants must show who they are.
    Images in other buckets of IMAGE_BUCKETS belong to everybody.
    """
    if not isinstance(image, ImageReference) or image.kind != "s3":
        return
    bucket, _, key = image.location.partition("/")
    own = is_of_tenant(key, tenant) and is_of_tenant(_as_read(key), tenant)
    waiting = bucket == settings.minio_photo_bucket and settings.access == "required"
    if waiting or (bucket == settings.minio_bucket and not own):
        raise _refused(f"s3://{image.location} is not yours to read")


class S3Images:
    """Reads what `parse_location` accepted."""

    def __init__(self, client: S3Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def get(self, location: str) -> bytes:
        """The photo at `bucket/key`.

        Raises Problem `object_missing`, `image_corrupt`, `body_too_large`, `storage_unavailable`; `invalid_parameters`
        for a bucket that is no longer allowed.
        """
        bucket, _, key = parse_location(_SCHEME + location, self._settings).partition("/")
        limit = self._settings.max_body_bytes
        try:
            with storage_errors():
                return await self._client.call(lambda sdk: _read(sdk, bucket, key, limit), limit)
        except ObjectMissingError as error:
            raise Problem("object_missing", f"{_SCHEME}{location} does not exist.") from error


def _read(sdk: Minio, bucket: str, key: str, limit: int) -> bytes:
    """At most one byte more than the limit is read, also if the server does not tell the size beforehand."""
    with opened(sdk, bucket, key) as response:
        try:
            coding = coding_of(response.headers.get("Content-Encoding", ""))
            if int(response.headers.get("Content-Length", 0)) <= limit:
                data = response.read(limit + 1, decode_content=False)
                if len(data) <= limit:
                    return decoded(data, coding, limit)
        except CodingError as error:
            raise Problem("image_corrupt", f"{_SCHEME}{bucket}/{key}: {error}") from error
        except TooLargeError:
            pass
    raise Problem("body_too_large", f"{_SCHEME}{bucket}/{key}: at most {limit} bytes are accepted.")


def _as_read(key: str) -> str:
    """The key as some servers read it: SeaweedFS drops slashes at its start, and takes a backslash for a slash."""
    return key.replace("\\", "/").lstrip("/")


def _check_key(key: str) -> None:
    segments = key.replace("\\", "/").split("/")
    if not key or {".", ".."} & set(segments):
        raise _refused("send s3://bucket/key, or a key alone; '.' and '..' are no parts of a key")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in key):
        raise _refused("a key must not hold control characters")
    if len(key.encode()) > _KEY_BYTES:
        raise _refused(f"a key has at most {_KEY_BYTES} bytes")


def _refused(detail: str) -> Problem:
    return Problem("invalid_parameters", f"image: {detail}")


def artifact_links(signer: Minio, settings: Settings) -> KeyLink:
    """What makes links to artifacts of their keys, without asking the server.

    The links lead below BASE_URL, where everybody may read; if it is not set, they are presigned.
    """
    if not settings.base_url:
        return _presigned(signer, settings)
    base = settings.base_url.rstrip("/")
    return lambda key: f"{base}/{quote(key)}"


def _presigned(signer: Minio, settings: Settings) -> KeyLink:
    """Links that carry a signature and end after a time.

    The signature covers the path that S3 sees, so a path of S3_PUBLIC_ENDPOINT is added after signing.
    """
    life = min(timedelta(seconds=settings.presigned_url_expiry), _LONGEST)
    prefix = urlsplit(settings.s3_public_endpoint).path

    def link(key: str) -> str:
        with storage_errors():
            signed = urlsplit(signer.presigned_get_object(settings.minio_bucket, key, life))
        return signed._replace(path=prefix + signed.path).geturl()

    return link


def warn_of_short_links(settings: Settings, identity: Identity) -> None:
    """Warn if links end with the keys that sign them, or earlier than the settings ask for."""
    if settings.artifact_links != "presigned" or settings.base_url:
        return
    if identity.temporary:
        _log.warning("links end with the keys that sign them, within hours; BASE_URL makes lasting ones")
    if settings.presigned_url_expiry > _LONGEST.total_seconds():
        message = "links end after seven days, the most that S3 allows"
        _log.warning(message, presigned_url_expiry=settings.presigned_url_expiry)


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
        warn_of_short_links(settings, client.identity)
        yield S3Buckets(
            S3Bucket(client, settings.minio_photo_bucket, settings),
            S3Bucket(client, settings.minio_bucket, settings),
            S3Images(client, settings),
            artifact_links(client.signer, settings),
        )
    finally:
        client.close()


def checked_bucket(settings: Settings, name: str) -> str:
    """The bucket that a setting names. Raises SettingsError if no bucket can have that name."""
    bucket = str(getattr(settings, name))
    try:
        check_bucket_name(bucket)
    except ValueError as error:
        raise SettingsError(f"{settings.variable(name)}={bucket}: {error}") from error
    return bucket


async def await_bucket(client: S3Client, settings: Settings, bucket: str) -> None:
    """Wait for the server, and make the bucket if it is missing.

    Raises SettingsError if the server refuses the credentials or the region, or the bucket is missing and may not be
    made; Problem `storage_unavailable` if there is no server within 30 s.
    """
    reason = "no answer"
    with move_on_after(_OPENING_S):
        while True:
            try:
                return await _look(client, settings, bucket)
            except UNANSWERED as error:
                reason = await _passing(settings, error)
            await asyncio.sleep(_LOOK_AGAIN_S)
    detail = f"No S3 server at MINIO_ENDPOINT={settings.minio_endpoint} within {_OPENING_S} s: {reason}"
    raise Problem("storage_unavailable", detail, retry_after=_OPENING_S)


async def _look(client: S3Client, settings: Settings, bucket: str) -> None:
    """Ask for an empty list: a refused GET tells the reason, a refused HEAD does not."""
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
    """Why the server does not answer yet. Raises SettingsError if it never will with these settings."""
    reason = reason_of(error)
    if isinstance(error, MaxRetryError) and isinstance(error.reason, SSLError):
        remedy = "unset MINIO_SECURE, or name its authority with MINIO_CA_FILE"
        raise SettingsError(f"MINIO_ENDPOINT={settings.minio_endpoint}: no TLS with it: {reason}; {remedy}") from error
    if not settings.minio_secure and await _speaks_tls(settings.minio_endpoint):
        remedy = "it speaks TLS; set MINIO_SECURE=true"
        raise SettingsError(f"MINIO_ENDPOINT={settings.minio_endpoint}: {remedy}") from error
    return reason


async def _speaks_tls(endpoint: str) -> bool:
    """Whether a TLS handshake succeeds, with any certificate."""
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
