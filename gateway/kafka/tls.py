"""TLS to the broker: whose certificates are trusted, and the workers' own."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from gateway.settings import Settings, SettingsError

_OURS = ("kafka_ssl_certfile", "kafka_ssl_keyfile")
_FILES = (*_OURS, "kafka_ssl_cafile")


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """None where KAFKA_SECURITY_PROTOCOL is one without TLS. Raises SettingsError, which names what is wrong."""
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
    """What trusts these authorities, or the system's. Raises SettingsError."""
    try:
        return ssl.create_default_context(cafile=cafile)
    except OSError as error:
        raise SettingsError(f"{variable}={cafile}: {_why(error)}") from error


def _refuse_files(settings: Settings) -> None:
    """The workers' own certificate is shown by TLS alone."""
    why = f"no TLS is spoken with KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}; SSL and SASL_SSL do"
    given = [f"{name.upper()}={getattr(settings, name)}: {why}" for name in _OURS if getattr(settings, name)]
    if given:
        raise SettingsError("\n".join(given))


def _load_own(context: ssl.SSLContext, settings: Settings, certfile: Path) -> None:
    """Check what OpenSSL would refuse in words that nobody understands, then load it. Raises SettingsError."""
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
