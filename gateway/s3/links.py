"""URLs that read an object without credentials."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote, urlsplit

from minio import Minio

from gateway.logs import get_logger
from gateway.settings import Settings

KeyLink = Callable[[str], str]

_LONGEST = timedelta(days=7)
"""https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, X-Amz-Expires."""


def artifact_links(signer: Minio, settings: Settings) -> KeyLink:
    """Links to the objects of the bucket of masks, by key, made without asking the server.

    Below BASE_URL, where everybody may read; presigned ones where it is not set.
    """
    if not settings.base_url:
        return _presigned(signer, settings)
    base = settings.base_url.rstrip("/")
    return lambda key: f"{base}/{quote(key)}"


def _presigned(signer: Minio, settings: Settings) -> KeyLink:
    """Links that carry a signature and end after a time.

    What is signed is the path that S3 sees: a path of S3_PUBLIC_ENDPOINT is put before it afterwards.
    """
    life = min(timedelta(seconds=settings.presigned_url_expiry), _LONGEST)
    prefix = urlsplit(settings.s3_public_endpoint).path

    def link(key: str) -> str:
        signed = urlsplit(signer.presigned_get_object(settings.minio_bucket, key, life))
        return signed._replace(path=prefix + signed.path).geturl()

    return link


def warn_of_ending_keys(settings: Settings) -> None:
    """Say so where links are signed with keys that end."""
    if _signs(settings):
        message = "links end with the keys that sign them, within hours; BASE_URL makes lasting ones"
        get_logger("gateway.s3").warning(message)


def warn_of_short_links(settings: Settings) -> None:
    """Say so where links end earlier than the settings ask for."""
    if _signs(settings) and settings.presigned_url_expiry > _LONGEST.total_seconds():
        message = "links end after seven days, the most that S3 allows"
        get_logger("gateway.s3").warning(message, presigned_url_expiry=settings.presigned_url_expiry)


def _signs(settings: Settings) -> bool:
    return settings.artifact_links == "presigned" and not settings.base_url
