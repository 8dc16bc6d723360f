"""Who we are to S3: keys of the settings, or those that AWS gives to an identity, a profile, a container, a machine."""

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
"""So long before their end keys are fetched anew, while others still use them."""
_PAUSE_S = 30.0
"""Between two tries to renew them: a machine's metadata may give the same ones until they are nearly over."""
_NEAR = Timeout(connect=1.0, read=2.0)
_FAR = Timeout(connect=2.0, read=4.0)

_log = get_logger("gateway.s3")

Source = tuple[str, Callable[[], Provider]]
"""What is tried, in words for a person, and how to make its provider."""


class NoCredentialsError(MinioException):
    """Nobody gives us keys; the message says who was asked, and what each said."""


@dataclass(frozen=True)
class Identity:
    """`provider` is None where nobody gives us keys and requests go unsigned; `origin` says who was asked."""

    provider: Provider | None
    origin: str

    @property
    def temporary(self) -> bool:
        """Whether the keys end, and with them the links that they sign."""
        return isinstance(self.provider, GivenKeys) and self.provider.temporary

    @property
    def signer(self) -> Provider | None:
        """Gives the same keys at once, perhaps over, for what must not wait."""
        return LastKeys(self.provider) if isinstance(self.provider, GivenKeys) else self.provider

    def forget(self) -> None:
        """Fetch keys anew, where that can be done: S3 says that these are over."""
        if isinstance(self.provider, GivenKeys):
            self.provider.forget()


def identify(settings: Settings, tls: ssl.SSLContext) -> Identity:
    """Keys of the settings; without any, AWS's ways to find them, each asked within seconds.

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
    """Keys from the first source that gives some; kept until they end, and fetched anew in good time."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.origin = ""
        self._sources = sources
        self._fetching = threading.Lock()
        self._keys: Credentials | None = None
        self._over: Credentials | None = None
        self._tried_at = float("-inf")

    @property
    def temporary(self) -> bool:
        """Whether they end."""
        return self._keys is not None and self._keys.expiration is not None

    def retrieve(self) -> Credentials:
        """The keys, fetched first where there are none or they are over. Raises NoCredentialsError."""
        keys = self._keys
        if keys is not None and self._serves(keys):
            return self.last()
        with self._fetching:
            keys = self._keys  # perhaps another thread's by now
            if keys is None or not self._serves(keys):
                keys = self._keys = self._fetched()
            return keys

    def last(self) -> Credentials:
        """The keys that are known, at once; another thread renews them in good time. Raises NoCredentialsError."""
        keys = self._keys
        if keys is None:
            raise NoCredentialsError("no keys were fetched yet")
        is_near = not self._serves(keys) or _left(keys) < _AHEAD
        if is_near and time.monotonic() - self._tried_at >= _PAUSE_S:
            self._tried_at = time.monotonic()
            threading.Thread(target=self._renew, name="S3 keys", daemon=True).start()
        return keys

    def forget(self) -> None:
        """Fetch them anew when they are wanted next; waits for nobody."""
        self._over = self._keys

    def _serves(self, keys: Credentials) -> bool:
        return keys is not self._over and _left(keys) > timedelta(0)

    def _renew(self) -> None:
        """While it fails, those that there are serve until their end."""
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
    """Keys that are known, without asking anybody."""

    def __init__(self, given: GivenKeys) -> None:
        self._given = given

    def retrieve(self) -> Credentials:
        """The keys. Raises NoCredentialsError."""
        return self._given.last()


def _left(keys: Credentials) -> timedelta:
    """Time until they end, which minio keeps in UTC without saying so."""
    now = datetime.now(UTC).replace(tzinfo=None)
    return keys.expiration - now if keys.expiration else timedelta.max


def _sources(settings: Settings, tls: ssl.SSLContext) -> Iterator[Source]:
    """In AWS's order; where one of the first is set up, the machine's own role is not what is meant."""
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
    """What is behind an error, without what urllib3 wraps about it."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return reason_of(error.reason)
    return str(error) or type(error).__name__
