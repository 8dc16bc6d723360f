"""Our access keys for S3: those of the settings, or what AWS gives an identity, a profile, a container, a machine."""

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from configparser import Error as ProfileError
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.etree.ElementTree import ParseError

from minio.credentials.credentials import Credentials
from minio.credentials.providers import AWSConfigProvider, IamAwsProvider, Provider, StaticProvider
from minio.error import MinioException
from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, MaxRetryError

from gateway.logs import get_logger
from gateway.settings import Settings, SettingsError

_WEB_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"
_CONTAINER = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_FAILURES = (ValueError, KeyError, OSError, RuntimeError, HTTPError, ParseError, ProfileError)
_AHEAD = timedelta(minutes=5)
"""Keys are renewed so long before their end."""
_PAUSE_S = 30.0
"""Between two tries to renew them: a machine's metadata may give the same keys until they have nearly ended."""
_NEAR = Timeout(connect=1.0, read=2.0)
_FAR = Timeout(connect=2.0, read=4.0)

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
