"""What the SDK's errors mean to those who store and read."""

from collections.abc import Iterator
from contextlib import contextmanager

from minio.error import MinioException, S3Error
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError, SSLError

from gateway.jobs.objects import ObjectMissingError, UnansweredError
from gateway.logs import get_logger
from gateway.problems import Problem

MISSING = frozenset({"NoSuchKey", "NoSuchBucket"})
OVER = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""Codes for keys that were good once."""
UNANSWERED = (MinioException, HTTPError, TimeoutError)
"""What `S3Client.call` raises."""

_RETRY_AFTER_S = 5

_log = get_logger(__name__)


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn the errors of `S3Client.call` into ObjectMissingError and Problem `storage_unavailable`: UnansweredError."""
    try:
        yield
    except S3Error as error:
        if error.code in MISSING:
            raise ObjectMissingError(f"{error.bucket_name}/{error.object_name}") from error
        raise unavailable(f"S3 answered {error.code}: {error.message}") from error
    except UNANSWERED as error:
        _log.warning("S3 did not answer", reason=reason_of(error))
        detail = "S3 did not answer."
        raise (unavailable(detail) if _is_over(error) else UnansweredError(detail, _RETRY_AFTER_S)) from error


def _is_over(error: Exception) -> bool:
    """Whether nothing more comes of it: there was an answer, if a strange one, or nobody to ask."""
    reason = error.reason if isinstance(error, MaxRetryError) else error
    return isinstance(reason, (MinioException, NewConnectionError, ConnectTimeoutError, SSLError))


def reason_of(error: Exception) -> str:
    """What is behind an error, without what urllib3 wraps about it."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return reason_of(error.reason)
    return str(error) or type(error).__name__


def unavailable(detail: str) -> Problem:
    """The store cannot do it now."""
    return Problem("storage_unavailable", detail, retry_after=_RETRY_AFTER_S)
