"""The connection to S3: minio's synchronous SDK in threads, time limits, errors, and waiting for the server."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from anyio import CapacityLimiter, fail_after, move_on_after, to_thread
from minio import Minio
from minio.credentials.providers import Provider
from minio.error import InvalidResponseError, MinioException, S3Error
from minio.helpers import check_bucket_name
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError, SSLError
from urllib3.response import BaseHTTPResponse

from gateway.errors import Problem
from gateway.jobs.objects import ObjectMissingError, UnansweredError
from gateway.logs import get_logger
from gateway.s3.credentials import Identity, identify, reason_of
from gateway.settings import Settings, SettingsError

MISSING = frozenset({"NoSuchKey", "NoSuchBucket"})
OVER = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""S3's error codes for access keys that have ended."""
UNANSWERED = (MinioException, HTTPError, TimeoutError)
"""What `S3Client.call` raises."""
_RETRY_AFTER_S = 5
T = TypeVar("T")
_OURS_ALREADY = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
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


class S3Client:
    """A pool of connections and the threads that use them; `signer` signs links for the public host at once."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError. If AWS gives the access keys, this asks for them and takes up to some seconds."""
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # our callers log the last failure
        tls = _tls(settings)
        self._pool = PoolManager(maxsize=_CONNECTIONS, timeout=_TIMEOUT, retries=_RETRIES, ssl_context=tls)
        self._threads = CapacityLimiter(_CONNECTIONS)
        server = _Server(settings.minio_endpoint, settings.minio_secure)
        _sdk(settings, server, self._pool, None)  # refuses a wrong endpoint before keys are asked for
        self.identity = identify(settings, tls)
        self.sdk = _sdk(settings, server, self._pool, self.identity.provider)
        self.signer = _sdk(settings, _public_server(settings) or server, self._pool, self.identity.signer)

    async def call(self, work: Callable[[Minio], T], size: int = 0) -> T:
        """Run `work`, which may transfer `size` bytes, in a thread; a thread that takes too long is left to itself.

        Raises TimeoutError, and what the SDK raises: MinioException, urllib3's HTTPError.
        """
        with fail_after(patience_s(size)):
            try:
                return await to_thread.run_sync(work, self.sdk, limiter=self._threads, abandon_on_cancel=True)
            except S3Error as error:
                if error.code in OVER:
                    self.identity.forget()
                raise
            except (ParseError, ValueError) as error:  # the answer is no XML, or not S3's
                raise InvalidResponseError(HTTPStatus.NOT_IMPLEMENTED, None, str(error)) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def patience_s(size: int) -> float:
    """How long a call that transfers so many bytes may take."""
    return _PATIENCE_S + size / _SLOWEST_BYTES_PER_S


def make_bucket(sdk: Minio, bucket: str) -> None:
    """Make a bucket, unless somebody else just did."""
    try:
        sdk.make_bucket(bucket)
    except S3Error as error:
        if error.code not in _OURS_ALREADY:
            raise


@contextmanager
def opened(sdk: Minio, bucket: str, key: str) -> Iterator[BaseHTTPResponse]:
    """Open an object for reading. If it is not read to its end, the connection cannot be used again."""
    response = sdk.get_object(bucket, key)
    try:
        yield response
    finally:
        response.close()
        response.release_conn()


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn the errors of `S3Client.call` into ObjectMissingError, Problem `storage_unavailable` or UnansweredError."""
    try:
        yield
    except S3Error as error:
        if error.code in MISSING:
            raise ObjectMissingError(f"{error.bucket_name}/{error.object_name}") from error
        raise _unavailable(f"S3 answered {error.code}: {error.message}") from error
    except UNANSWERED as error:
        _log.warning("S3 did not answer", reason=reason_of(error))
        detail = "S3 did not answer."
        raise (_unavailable(detail) if _is_over(error) else UnansweredError(detail, _RETRY_AFTER_S)) from error


def _unavailable(detail: str) -> Problem:
    """The Problem of a server that cannot do it now."""
    return Problem("storage_unavailable", detail, retry_after=_RETRY_AFTER_S)


def _is_over(error: Exception) -> bool:
    """Whether the request certainly does no more: the server answered, or could not be reached at all."""
    reason = error.reason if isinstance(error, MaxRetryError) else error
    return isinstance(reason, (MinioException, NewConnectionError, ConnectTimeoutError, SSLError))


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


def _tls(settings: Settings) -> ssl.SSLContext:
    """Trust the system's authorities (SSL_CERT_FILE) and those of MINIO_CA_FILE. Raises SettingsError."""
    context = ssl.create_default_context()
    if settings.minio_ca_file:
        try:
            context.load_verify_locations(settings.minio_ca_file)
        except OSError as error:
            reason = "holds no certificates" if isinstance(error, ssl.SSLError) else error.strerror
            raise SettingsError(f"{settings.variable('minio_ca_file')}={settings.minio_ca_file}: {reason}") from error
    return context


class _Server(NamedTuple):
    """host[:port], and whether it speaks TLS."""

    endpoint: str
    secure: bool


def _public_server(settings: Settings) -> _Server | None:
    url = urlsplit(settings.s3_public_endpoint)
    return _Server(url.netloc, url.scheme == "https") if url.netloc else None


def _sdk(settings: Settings, server: _Server, pool: PoolManager, provider: Provider | None) -> Minio:
    """An SDK that knows its region, so that it never asks for it. Raises SettingsError."""
    try:
        sdk = Minio(
            server.endpoint,
            secure=server.secure,
            region=settings.minio_region,
            http_client=pool,
            credentials=provider,
        )
    except ValueError as error:
        name = "MINIO_ENDPOINT" if server.endpoint == settings.minio_endpoint else "S3_PUBLIC_ENDPOINT"
        raise SettingsError(f"{name}={server.endpoint}: {error}") from error
    if settings.s3_addressing_style == "virtual":
        sdk.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    elif settings.s3_addressing_style == "path":
        sdk.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    return sdk
