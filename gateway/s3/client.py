"""The minio SDK, which is synchronous, called from threads and within time limits."""

import logging
import ssl
from collections.abc import Callable
from http import HTTPStatus
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

from anyio import CapacityLimiter, fail_after, to_thread
from minio import Minio
from minio.credentials.providers import Provider
from minio.error import InvalidResponseError, S3Error
from urllib3 import PoolManager, Retry, Timeout

from gateway.s3.credentials import identify
from gateway.s3.errors import OVER
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
        """Raises SettingsError. Where AWS gives the keys, it is asked for them, which takes some seconds at most."""
        logging.getLogger("urllib3").setLevel(logging.ERROR)  # the last of the retries is told by who called
        tls = _tls(settings)
        self._pool = PoolManager(maxsize=_CONNECTIONS, timeout=_TIMEOUT, retries=_RETRIES, ssl_context=tls)
        self._threads = CapacityLimiter(_CONNECTIONS)
        server = _Server(settings.minio_endpoint, settings.minio_secure)
        _sdk(settings, server, self._pool, None)  # a wrong endpoint is told before anybody is asked for keys
        self.identity = identify(settings, tls)
        self.sdk = _sdk(settings, server, self._pool, self.identity.provider)
        self.signer = _sdk(settings, _public_server(settings) or server, self._pool, self.identity.signer)
        """Signs links for the host that others use, without asking anybody."""

    async def call(self, work: Callable[[Minio], T], size: int = 0) -> T:
        """Run `work`, which may move `size` bytes, in a thread; a thread that takes too long is left behind.

        Raises TimeoutError, and what the SDK raises: MinioException, urllib3's HTTPError.
        """
        with fail_after(patience_s(size)):
            try:
                return await to_thread.run_sync(work, self.sdk, limiter=self._threads, abandon_on_cancel=True)
            except S3Error as error:
                if error.code in OVER:
                    self.identity.forget()
                raise
            except (ParseError, ValueError) as error:  # what is no XML, or XML of another kind
                raise InvalidResponseError(HTTPStatus.NOT_IMPLEMENTED, None, str(error)) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def patience_s(size: int) -> float:
    """How long a call that moves so many bytes may take."""
    return _PATIENCE_S + size / _SLOWEST_BYTES_PER_S


def _tls(settings: Settings) -> ssl.SSLContext:
    """Trusts the system's authorities (SSL_CERT_FILE) and those of MINIO_CA_FILE. Raises SettingsError."""
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
    """Knows its region, so that it never asks for one. Raises SettingsError."""
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
