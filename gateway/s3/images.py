"""Photos that callers keep in S3 themselves, and links with which others read our artifacts."""

import unicodedata
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote, urlsplit
from uuid import UUID

from minio import Minio

from gateway.errors import Problem
from gateway.fetching.codings import CodingError, TooLargeError, coding_of, decoded
from gateway.jobs.job import ImageReference
from gateway.jobs.objects import ObjectMissingError, is_of_tenant, photo_key
from gateway.logs import get_logger
from gateway.s3.client import S3Client, opened, storage_errors
from gateway.settings import Settings

_SCHEME = "s3://"
_KEY_BYTES = 1024
KeyLink = Callable[[str], str]
_LONGEST = timedelta(days=7)
"""Of a presigned link: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, X-Amz-Expires."""


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
        signed = urlsplit(signer.presigned_get_object(settings.minio_bucket, key, life))
        return signed._replace(path=prefix + signed.path).geturl()

    return link


def warn_of_ending_keys(settings: Settings) -> None:
    """Warn if links are signed with access keys that end."""
    if _signs(settings):
        message = "links end with the keys that sign them, within hours; BASE_URL makes lasting ones"
        get_logger("gateway.s3").warning(message)


def warn_of_short_links(settings: Settings) -> None:
    """Warn if links end earlier than the settings ask for."""
    if _signs(settings) and settings.presigned_url_expiry > _LONGEST.total_seconds():
        message = "links end after seven days, the most that S3 allows"
        get_logger("gateway.s3").warning(message, presigned_url_expiry=settings.presigned_url_expiry)


def _signs(settings: Settings) -> bool:
    return settings.artifact_links == "presigned" and not settings.base_url
