"""The connection to S3: minio's synchronous SDK in threads, its time limits, its errors; and our access keys.

These are the ones of the settings, or what AWS gives an identity, a profile, a container, a machine.
"""

import logging
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from configparser import Error as ProfileError
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from anyio import CapacityLimiter, fail_after, to_thread
from minio import Minio
from minio.credentials.credentials import Credentials
from minio.credentials.providers import AWSConfigProvider, IamAwsProvider, Provider, StaticProvider
from minio.error import InvalidResponseError, MinioException, S3Error
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError, SSLError
from urllib3.response import BaseHTTPResponse

from gateway.errors import Problem
from gateway.jobs.objects import ObjectMissingError, UnansweredError
from gateway.logs import get_logger
from gateway.settings import Settings, SettingsError

MISSING = frozenset({"NoSuchKey", "NoSuchBucket"})
OVER = frozenset({"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
"""S3's error codes for access keys that have ended."""
UNANSWERED = (MinioException, HTTPError, TimeoutError)
"""What `S3Client.call` raises."""
_RETRY_AFTER_S = 5
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
_WEB_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_FAILURES = (ValueError, KeyError, OSError, RuntimeError, HTTPError, ParseError, ProfileError)
_AHEAD = timedelta(minutes=5)
"""Keys are renewed so long before their end."""
_PAUSE_S = 30.0
"""Between two tries to renew them: a machine's metadata may give the same keys until they have nearly ended."""
_NEAR = Timeout(connect=1.0, read=2.0)
_FAR = Timeout(connect=2.0, read=4.0)

T = TypeVar("T")
_log = get_logger("gateway.s3")

Source = tuple[str, Callable[[], Provider]]
"""One way to get keys: its name for messages, and what makes its provider."""


class NoCredentialsError(MinioException):
    """No source gives us keys; the message names each source and its answer."""


@dataclass(frozen=True)
class Identity:
    """Whose keys we use. `provider` is None if there are none, and requests go unsigned; `origin` names the source."""

    provider: Provider | None
    origin: str

    @property
    def temporary(self) -> bool:
        """Whether the keys end, and the links that they signed with them."""
        return isinstance(self.provider, GivenKeys) and self.provider.temporary

    @property
    def signer(self) -> Provider | None:
        """Gives the same keys without waiting, even if they have ended."""
        return LastKeys(self.provider) if isinstance(self.provider, GivenKeys) else self.provider

    def forget(self) -> None:
        """Fetch new keys, if they can be fetched: S3 says that these have ended."""
        if isinstance(self.provider, GivenKeys):
            self.provider.forget()


def identify(settings: Settings, tls: ssl.SSLContext) -> Identity:
    """The keys of the settings; without any, those of AWS's sources, each of which is asked for some seconds at most.

    Raises SettingsError for a key without a secret, or a secret without a key.
    """
    key, secret = settings.minio_access_key, settings.minio_secret_key.get_secret_value()
    if key and secret:
        token = settings.minio_session_token.get_secret_value() or None
        return Identity(StaticProvider(key, secret, token), "MINIO_ACCESS_KEY, MINIO_SECRET_KEY")
    if key or secret:
        raise SettingsError("MINIO_ACCESS_KEY, MINIO_SECRET_KEY: one without the other is refused; set both or none")
    given = GivenKeys(list(_sources(settings, tls)))
    try:
        given.retrieve()
    except NoCredentialsError as error:
        return Identity(None, str(error))
    _log.info("S3 keys found", origin=given.origin)
    return Identity(given, given.origin)


class GivenKeys(Provider):
    """Keys from the first source that gives some; kept until they end, and renewed in the background before that."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.origin = ""
        self._sources = sources
        self._fetching = threading.Lock()
        self._keys: Credentials | None = None
        self._over: Credentials | None = None
        self._tried_at = float("-inf")

    @property
    def temporary(self) -> bool:
        """Whether the keys end."""
        return self._keys is not None and self._keys.expiration is not None

    def retrieve(self) -> Credentials:
        """The keys; fetched first if there are none, or they have ended. Raises NoCredentialsError."""
        keys = self._keys
        if keys is not None and self._serves(keys):
            return self.last()
        with self._fetching:
            keys = self._keys  # another thread may have fetched them meanwhile
            if keys is None or not self._serves(keys):
                keys = self._keys = self._fetched()
            return keys

    def last(self) -> Credentials:
        """The known keys, without waiting; another thread renews them before they end. Raises NoCredentialsError."""
        keys = self._keys
        if keys is None:
            raise NoCredentialsError("no keys were fetched yet")
        is_near = not self._serves(keys) or _left(keys) < _AHEAD
        if is_near and time.monotonic() - self._tried_at >= _PAUSE_S:
            self._tried_at = time.monotonic()
            threading.Thread(target=self._renew, name="S3 keys", daemon=True).start()
        return keys

    def forget(self) -> None:
        """Fetch new keys when they are asked for next; this does not wait."""
        self._over = self._keys

    def _serves(self, keys: Credentials) -> bool:
        return keys is not self._over and _left(keys) > timedelta(0)

    def _renew(self) -> None:
        """If it fails, the old keys are used until their end."""
        try:
            self._keys = self._fetched()
        except NoCredentialsError as error:
            _log.warning("S3 keys are not renewed", reason=str(error))

    def _fetched(self) -> Credentials:
        refusals = []
        for origin, make in self._sources:
            try:
                keys = make().retrieve()
            except _FAILURES as error:
                refusals.append(f"{origin}: {reason_of(error)}")
            else:
                self.origin = origin
                return keys
        raise NoCredentialsError("; ".join(["MINIO_ACCESS_KEY, MINIO_SECRET_KEY: not set", *refusals]))


class LastKeys(Provider):
    """Gives the known keys without waiting."""

    def __init__(self, given: GivenKeys) -> None:
        self._given = given

    def retrieve(self) -> Credentials:
        """The keys. Raises NoCredentialsError."""
        return self._given.last()


def _left(keys: Credentials) -> timedelta:
    """Time until the keys end; minio keeps it in UTC, without a time zone."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return keys.expiration - now if keys.expiration else timedelta.max


def _sources(settings: Settings, tls: ssl.SSLContext) -> Iterator[Source]:
    """The sources in AWS's order. If one of the first is set up, the machine's own role is not asked."""
    environment, region = os.environ, settings.minio_region
    if environment.get(_WEB_IDENTITY):
        endpoint = environment.get("AWS_ENDPOINT_URL_STS")
        yield (
            f"web identity ({_WEB_IDENTITY}, AWS_ROLE_ARN)",
            lambda: IamAwsProvider(custom_endpoint=endpoint, region=region, http_client=_http(_FAR, tls)),
        )
    yield f"profile {environment.get('AWS_PROFILE') or 'default'} of ~/.aws/credentials", AWSConfigProvider
    if environment.get(_WEB_IDENTITY):
        return
    if any(environment.get(name) for name in _CONTAINER):
        yield "container role (AWS_CONTAINER_CREDENTIALS_…)", lambda: IamAwsProvider(http_client=_http(_NEAR, tls))
    elif environment.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true":
        metadata = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
        yield (
            f"instance role ({metadata})",
            lambda: IamAwsProvider(custom_endpoint=metadata, http_client=_http(_NEAR, tls)),
        )


def _http(timeout: Timeout, tls: ssl.SSLContext) -> PoolManager:
    retries = Retry(total=1, connect=0, backoff_factor=0.2, status_forcelist=(500, 502, 503, 504))
    return PoolManager(timeout=timeout, retries=retries, ssl_context=tls)


def reason_of(error: Exception) -> str:
    """The cause of an error, without what urllib3 wraps around it."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return reason_of(error.reason)
    return str(error) or type(error).__name__


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
