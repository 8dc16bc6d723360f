"""URLs that read an object without credentials."""

from collections.abc import Callable
from datetime import timedelta
from urllib.parse import quote

from minio import Minio

from gateway.logs import get_logger
from gateway.settings import Settings

Link = Callable[[str], str]

_LONGEST = timedelta(days=7)
"""https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html, X-Amz-Expires."""


def artifact_links(sdk: Minio, settings: Settings) -> Link:
    """Links below BASE_URL, where everybody may read; presigned ones where it is not set."""
    if not settings.base_url:
        return presigned_links(sdk, settings, settings.minio_bucket)
    base = settings.base_url.rstrip("/")
    return lambda key: f"{base}/{quote(key)}"


def presigned_links(sdk: Minio, settings: Settings, bucket: str) -> Link:
    """Links that carry a signature and end after a time; signed here, without asking the server."""
    life = min(timedelta(seconds=settings.presigned_url_expiry), _LONGEST)
    return lambda key: sdk.presigned_get_object(bucket, key, life)


def warn_of_ending_keys(settings: Settings) -> None:
    """Say so where links are signed with keys that end."""
    if not settings.base_url:
        message = "links end with the keys that sign them, within hours; BASE_URL makes lasting ones"
        get_logger("gateway.s3").warning(message)


def warn_of_short_links(settings: Settings) -> None:
    """Say so where links end earlier than the settings ask for."""
    if not settings.base_url and settings.presigned_url_expiry > _LONGEST.total_seconds():
        message = "links end after seven days, the most that S3 allows"
        get_logger("gateway.s3").warning(message, presigned_url_expiry=settings.presigned_url_expiry)
