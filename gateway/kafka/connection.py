"""How clients connect to the broker by the settings: its addresses, the login (SASL), certificates (TLS)."""

import asyncio
import re
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from urllib.parse import quote

import httpx
from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.hosts import proxy_for
from gateway.settings import Settings, SettingsError
from gateway.settings.fields import shown

_OURS = ("kafka_ssl_certfile", "kafka_ssl_keyfile")
_FILES = (*_OURS, "kafka_ssl_cafile")
_OAUTH, _AWS = "OAUTHBEARER", "AWS_MSK_IAM"
_NEEDED_BY_OAUTH = ("kafka_oauth_token_url", "kafka_oauth_client_id", "kafka_oauth_client_secret")
_NEEDED_BY_PASSWORDS = ("kafka_username", "kafka_password")
_TOKEN_S = 5.0
_LIFE_USED = 0.8
"""The share of its life after which a token is renewed."""
_LIFE_S = 300.0
"""How long a token lives if the server does not say so (RFC 6749 §5.1 only recommends it)."""
_SIGNER = "aws_msk_iam_sasl_signer.MSKAuthTokenProvider"
_SHOWN_CHARACTERS = 200
REQUEST_TIMEOUT_S = 9
"""Longer than the consumer's SESSION_TIMEOUT_MS: a broker may delay its answer to a join for that long."""
_RETRY_BACKOFF_MS = 250
_METADATA_AGE_MS = 5000
"""How soon the client notices that a topic was made, or has more partitions."""


def connection_arguments(settings: Settings) -> dict[str, object]:
    """Keyword arguments of any aiokafka client. Raises SettingsError, one line for each variable that does not fit.

    Certificates are read anew each time, so that renewed ones are used.
    """
    protocol = settings.kafka_security_protocol
    arguments: dict[str, object] = {
        "bootstrap_servers": _servers(settings),
        "security_protocol": protocol,
        "request_timeout_ms": REQUEST_TIMEOUT_S * 1000,
        "retry_backoff_ms": _RETRY_BACKOFF_MS,
        "metadata_max_age_ms": _METADATA_AGE_MS,
    }
    arguments |= login(settings)
    if context := tls_context(settings):
        arguments["ssl_context"] = context
    return arguments


def _servers(settings: Settings) -> list[str]:
    servers = [server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()]
    if not servers:
        raise SettingsError("KAFKA_BOOTSTRAP_SERVERS=: host:port is needed, comma-separated where there are several")
    return servers


def login(settings: Settings) -> dict[str, object]:
    """Arguments of a client; none without SASL. Raises SettingsError, a line for each variable that does not fit."""
    complaints = list(_complaints(settings))
    if complaints:
        raise SettingsError("\n".join(complaints))
    if not settings.kafka_security_protocol.startswith("SASL"):
        return {}
    if settings.kafka_sasl_mechanism == _OAUTH:
        return {"sasl_mechanism": _OAUTH, "sasl_oauth_token_provider": ClientCredentials(settings)}
    if settings.kafka_sasl_mechanism == _AWS:
        return {"sasl_mechanism": _OAUTH, "sasl_oauth_token_provider": AwsSigner(_aws_region(settings))}
    return {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_username,
        "sasl_plain_password": settings.kafka_password.get_secret_value(),
    }


def _complaints(settings: Settings) -> Iterator[str]:
    """Settings that cannot work together, a line for each."""
    protocol, mechanism = settings.kafka_security_protocol, settings.kafka_sasl_mechanism
    if not protocol.startswith("SASL"):
        if mechanism != "PLAIN":
            why = f"nobody logs in with KAFKA_SECURITY_PROTOCOL={protocol}; SASL_SSL and SASL_PLAINTEXT do"
            yield f"KAFKA_SASL_MECHANISM={mechanism}: {why}"
        return
    if mechanism == _AWS:
        yield from _aws_complaints(settings)
        return
    for name in _NEEDED_BY_OAUTH if mechanism == _OAUTH else _NEEDED_BY_PASSWORDS:
        value = getattr(settings, name)
        if not (value if isinstance(value, str) else value.get_secret_value()):
            with_what = f"KAFKA_SECURITY_PROTOCOL={protocol} and KAFKA_SASL_MECHANISM={mechanism}"
            yield f"{name.upper()}=: needed with {with_what}"


def _aws_complaints(settings: Settings) -> Iterator[str]:
    if settings.kafka_security_protocol != "SASL_SSL":
        yield f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}: AWS_MSK_IAM takes SASL_SSL alone"
    if not _aws_region(settings):
        yield "KAFKA_AWS_REGION=: needed with KAFKA_SASL_MECHANISM=AWS_MSK_IAM, as eu-west-1"
    try:
        import_module(_SIGNER)
    except ImportError:
        yield "KAFKA_SASL_MECHANISM=AWS_MSK_IAM: a package is missing; pip install 'maskwright[msk]'"


def _aws_region(settings: Settings) -> str:
    """The region of the settings, or of the broker's name: b-1.name.id.c2.kafka.REGION.amazonaws.com."""
    named = re.search(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com", settings.kafka_bootstrap_servers)
    return settings.kafka_aws_region or (named[1] if named else "")


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka ships no types
    """Tokens by client credentials (RFC 6749 §4.4), kept until a fifth of their life is left."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.kafka_oauth_token_url
        self._context = trusting(settings.kafka_oauth_cafile, "KAFKA_OAUTH_CAFILE")
        self._asking = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0

    async def token(self) -> str:
        """For a new connection. Raises AuthenticationFailedError, which says what the server answered."""
        async with self._asking:
            if time.monotonic() >= self._renew_at:
                asked_at = time.monotonic()
                self._token, life_s = _token_of(await self._ask(), self._url)
                self._renew_at = asked_at + life_s * _LIFE_USED
            return self._token

    async def _ask(self) -> httpx.Response:
        settings = self._settings
        secret = settings.kafka_oauth_client_secret.get_secret_value()
        form = {"grant_type": "client_credentials"}
        if settings.kafka_oauth_scope:
            form["scope"] = settings.kafka_oauth_scope
        # The name and the secret are form-encoded before they are joined (RFC 6749 §2.3.1).
        who = httpx.BasicAuth(quote(settings.kafka_oauth_client_id, safe=""), quote(secret, safe=""))
        try:
            way = httpx.AsyncHTTPTransport(verify=self._context, proxy=proxy_for(httpx.URL(self._url)))
            async with httpx.AsyncClient(transport=way, timeout=_TOKEN_S) as client:
                return await client.post(self._url, data=form, auth=who, headers={"accept": "application/json"})
        except (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
            raise _failure(self._url, str(error) or type(error).__name__) from error


class AwsSigner(AbstractTokenProvider):  # type: ignore[misc]
    """Signatures by AWS's own package, with the credentials that it finds: variables, files, roles."""

    def __init__(self, region: str) -> None:
        self._region = region

    async def token(self) -> str:
        """For a new connection. Raises AuthenticationFailedError."""
        try:
            token, _ = await asyncio.to_thread(import_module(_SIGNER).generate_auth_token, self._region)
        except Exception as error:
            raise AuthenticationFailedError(f"AWS_MSK_IAM: no signature can be made: {error}") from error
        return str(token)


def _token_of(answer: httpx.Response, url: str) -> tuple[str, float]:
    """The token, and how long it lives in seconds. Raises AuthenticationFailedError."""
    try:
        members = answer.json()
    except ValueError:
        members = None
    if not isinstance(members, dict):
        raise _failure(url, f"{answer.status_code}, and no JSON object: {answer.text[:_SHOWN_CHARACTERS]}")
    token, life_s = members.get("access_token"), members.get("expires_in")
    if not answer.is_success or not isinstance(token, str) or not token:
        told = (members.get(name) for name in ("error", "error_description"))
        raise _failure(url, f"{answer.status_code} {' '.join(str(one) for one in told if one)}".strip())
    return token, float(life_s) if isinstance(life_s, int | float) and life_s > 0 else _LIFE_S


def _failure(url: str, why: str) -> AuthenticationFailedError:
    return AuthenticationFailedError(f"no token from KAFKA_OAUTH_TOKEN_URL={shown(url)}: {shown(why)}")


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """None if KAFKA_SECURITY_PROTOCOL is one without TLS. Raises SettingsError, which names what is wrong."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        _refuse_files(settings)
        return None
    context = trusting(settings.kafka_ssl_cafile, "KAFKA_SSL_CAFILE")
    if settings.kafka_ssl_certfile:
        _load_own(context, settings, settings.kafka_ssl_certfile)
    elif settings.kafka_ssl_keyfile:
        raise SettingsError(
            f"KAFKA_SSL_KEYFILE={settings.kafka_ssl_keyfile}: its certificate is needed too: KAFKA_SSL_CERTFILE"
        )
    return context


def trusting(cafile: Path | None, variable: str) -> ssl.SSLContext:
    """A context that trusts these authorities, or the system's. Raises SettingsError."""
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise SettingsError(f"{variable}={cafile}: {_why(error)}") from error


def _refuse_files(settings: Settings) -> None:
    """Only TLS uses the workers' own certificate. Raises SettingsError."""
    why = f"no TLS is spoken with KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}; SSL and SASL_SSL do"
    given = [f"{name.upper()}={getattr(settings, name)}: {why}" for name in _OURS if getattr(settings, name)]
    if given:
        raise SettingsError("\n".join(given))


def _load_own(context: ssl.SSLContext, settings: Settings, certfile: Path) -> None:
    """Load the workers' certificate, after checks that tell more than OpenSSL's errors do. Raises SettingsError."""
    keyfile = settings.kafka_ssl_keyfile or certfile
    password = settings.kafka_ssl_password.get_secret_value()
    certificate, key = (
        _certificate(certfile),
        _key(keyfile, password, "KAFKA_SSL_KEYFILE" if settings.kafka_ssl_keyfile else "KAFKA_SSL_CERTFILE"),
    )
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*spki) != key.public_key().public_bytes(*spki):
        raise SettingsError(f"KAFKA_SSL_KEYFILE={keyfile}: it is not the key of KAFKA_SSL_CERTFILE={certfile}")
    try:
        context.load_cert_chain(certfile, keyfile, password=lambda: password)
    except OSError as error:
        raise SettingsError(f"KAFKA_SSL_CERTFILE={certfile}: {_why(error)}") from error


def _certificate(certfile: Path) -> x509.Certificate:
    content = _read(certfile, "KAFKA_SSL_CERTFILE")
    try:
        certificate = x509.load_pem_x509_certificates(content)[0]
    except ValueError as error:
        raise SettingsError(f"KAFKA_SSL_CERTFILE={certfile}: it holds no certificate as PEM") from error
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        raise SettingsError(f"KAFKA_SSL_CERTFILE={certfile}: it expired on {certificate.not_valid_after_utc:%Y-%m-%d}")
    if certificate.not_valid_before_utc > now:
        since = f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        raise SettingsError(f"KAFKA_SSL_CERTFILE={certfile}: it is valid from {since} on; is the clock right?")
    return certificate


def _key(keyfile: Path, password: str, variable: str) -> PrivateKeyTypes:
    content = _read(keyfile, variable)
    is_encrypted = b"ENCRYPTED" in content
    if is_encrypted and not password:
        raise SettingsError(f"{variable}={keyfile}: the key is encrypted, and needs KAFKA_SSL_PASSWORD")
    try:
        return load_pem_private_key(content, password.encode() if is_encrypted else None)
    except (ValueError, TypeError) as error:
        if is_encrypted:
            raise SettingsError(f"KAFKA_SSL_PASSWORD=…: it does not open {variable}={keyfile}") from error
        raise SettingsError(f"{variable}={keyfile}: it holds no private key as PEM") from error


def _read(path: Path, variable: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{variable}={path}: {_why(error)}") from error


def _why(error: OSError) -> str:
    return error.strerror or str(error)
