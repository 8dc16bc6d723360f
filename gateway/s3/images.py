"""Photos that callers keep in S3 themselves."""

import unicodedata
from uuid import UUID

from minio import Minio

from gateway.fetching.codings import CodingError, TooLargeError, coding_of, decoded
from gateway.intake.images import Image
from gateway.jobs.job import ImageReference
from gateway.jobs.objects import ObjectMissingError, is_of_tenant, photo_key
from gateway.problems import Problem
from gateway.s3 import objects
from gateway.s3.client import S3Client
from gateway.s3.errors import storage_errors
from gateway.settings import Settings

_SCHEME = "s3://"
_KEY_BYTES = 1024


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


def waiting_photo(image: Image, settings: Settings) -> str | None:
    """The key of a photo that a job came with, where an image is named as the poison topic names those."""
    if isinstance(image, bytes) or image.kind != "s3":
        return None
    own, key = f"{_SCHEME}{settings.minio_photo_bucket}/", image.location
    if not settings.minio_photo_bucket or not key.startswith(own):
        return None
    try:
        return photo_key(UUID(key.removeprefix(own)))
    except ValueError:
        return None


def check_owner(image: Image, tenant: str, settings: Settings) -> None:
    """Raise Problem `invalid_parameters` where the image is in a bucket of our own, and another tenant's.

    Whose the photos are that jobs wait with, their keys do not say. Other buckets of IMAGE_BUCKETS are everybody's.
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

        Raises Problem `object_missing`, `body_too_large`, `storage_unavailable`; `invalid_parameters` for a bucket
        that is no longer allowed.
        """
        bucket, _, key = parse_location(_SCHEME + location, self._settings).partition("/")
        limit = self._settings.max_body_bytes
        try:
            with storage_errors():
                return await self._client.call(lambda sdk: _read(sdk, bucket, key, limit), limit)
        except ObjectMissingError as error:
            raise Problem("object_missing", f"{_SCHEME}{location} does not exist.") from error


def _read(sdk: Minio, bucket: str, key: str, limit: int) -> bytes:
    """At most one byte too many is read, where the server does not say beforehand how many there are."""
    with objects.opened(sdk, bucket, key) as response:
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
    """The key that some servers take a key for: SeaweedFS drops slashes at its start, and reads a backslash as one."""
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
