"""The minio SDK, which is synchronous, called from threads and within time limits."""

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar
from xml.etree.ElementTree import ParseError

from anyio import CapacityLimiter, fail_after, to_thread
from minio import Minio
from minio.error import InvalidResponseError
from urllib3 import PoolManager, Retry, Timeout

from gateway.settings import Settings, SettingsError

T = TypeVar("T")

_CONNECTIONS = 16
_TIMEOUT = Timeout(connect=4.0, read=4.0)
_RETRIES = Retry(
    total=3,  # 1.5 s of pauses in all: more than the embedded server takes to come back
    read=1,  # a server that takes requests and answers none is given up after 8 s
    status=2,
    backoff_factor=0.25,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=None,  # every request here may be repeated
    respect_retry_after_header=False,  # its pauses have no upper limit
    raise_on_status=False,
)
_PATIENCE_S = 9.0
_SLOWEST_BYTES_PER_S = 1024 * 1024


class S3Client:
    """One pool of connections and the threads that use them; closed by `close`."""

    def __init__(self, settings: Settings) -> None:
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # the last of the retries is told by who called
        self._pool = PoolManager(maxsize=_CONNECTIONS, timeout=_TIMEOUT, retries=_RETRIES)
        self._threads = CapacityLimiter(_CONNECTIONS)
        self.sdk = _sdk(settings, self._pool)

    async def call(self, work: Callable[[Minio], T], size: int = 0) -> T:
        """Run `work`, which may move `size` bytes, in a thread; a thread that takes too long is left behind.

        Raises TimeoutError, and what the SDK raises: MinioException, urllib3's HTTPError.
        """
        with fail_after(_PATIENCE_S + size / _SLOWEST_BYTES_PER_S):
            try:
                return await to_thread.run_sync(work, self.sdk, limiter=self._threads, abandon_on_cancel=True)
            except ParseError as error:
                raise InvalidResponseError(HTTPStatus.NOT_IMPLEMENTED, None, str(error)) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def _sdk(settings: Settings, pool: PoolManager) -> Minio:
    """Knows its region, so that it never asks for one. Raises SettingsError."""
    try:
        return Minio(
            settings.minio_endpoint,
            settings.minio_access_key or None,
            settings.minio_secret_key.get_secret_value(),
            secure=settings.minio_secure,
            region=settings.minio_region,
            http_client=pool,
        )
    except ValueError as error:
        raise SettingsError(f"MINIO_ENDPOINT={settings.minio_endpoint}: {error}") from error
