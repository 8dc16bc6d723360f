"""The workers' own certificate, and what is wrong with it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from gateway.kafka.connection import connection_arguments
from gateway.settings import Settings, SettingsError

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """PEM files by what is in them."""
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    contents = {
        "good": certificate(key, NOW - DAY, NOW + DAY),
        "expired": certificate(key, NOW - 2 * DAY, NOW - DAY),
        "early": certificate(key, NOW + DAY, NOW + 2 * DAY),
        "key": private(key),
        "encrypted": private(key, b"pass"),
        "other": private(other),
        "text": b"hello",
    }
    contents["both"] = contents["good"] + contents["key"]
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return {name: tmp_path / name for name in (*contents, "absent")}


def certificate(key: ec.EllipticCurvePrivateKey, since: datetime, until: datetime) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "worker")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), since, until)
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM)


def private(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def connect(files: dict[str, Path], cert: str | None, key: str | None = None, protocol: str = "SSL", **fields: object):
    given = {"kafka_ssl_certfile": cert and files[cert], "kafka_ssl_keyfile": key and files[key]}
    return connection_arguments(
        Settings(**{"kafka_bootstrap_servers": "a:1", "kafka_security_protocol": protocol, **given, **fields})
    )


@pytest.mark.parametrize(
    ("cert", "key", "password"),
    [
        ("good", "key", ""),
        ("both", None, ""),
        ("good", "encrypted", "pass"),
        ("good", "key", "unused"),
        (None, None, ""),
    ],
)
def test_a_certificate_that_fits_is_taken(files, cert, key, password):
    assert "ssl_context" in connect(files, cert, key, kafka_ssl_password=password)


@pytest.mark.parametrize(
    ("cert", "key", "password", "line"),
    [
        ("expired", "key", "", f"KAFKA_SSL_CERTFILE=*expired: it expired on {NOW - DAY:%Y-%m-%d}"),
        ("early", "key", "", "KAFKA_SSL_CERTFILE=*early: it is valid from"),
        ("text", "key", "", "KAFKA_SSL_CERTFILE=*text: it holds no certificate as PEM"),
        ("absent", "key", "", "KAFKA_SSL_CERTFILE=*absent: No such file"),
        ("key", "key", "", "KAFKA_SSL_CERTFILE=*key: it holds no certificate as PEM"),
        ("good", "absent", "", "KAFKA_SSL_KEYFILE=*absent: No such file"),
        ("good", "text", "", "KAFKA_SSL_KEYFILE=*text: it holds no private key as PEM"),
        ("good", None, "", "KAFKA_SSL_CERTFILE=*good: it holds no private key as PEM"),
        ("good", "other", "", "KAFKA_SSL_KEYFILE=*other: it is not the key of KAFKA_SSL_CERTFILE=*good"),
        ("good", "encrypted", "", "KAFKA_SSL_KEYFILE=*encrypted: the key is encrypted, and needs KAFKA_SSL_PASSWORD"),
        ("good", "encrypted", "wrong", "KAFKA_SSL_PASSWORD=…: it does not open KAFKA_SSL_KEYFILE=*encrypted"),
        (None, "key", "", "KAFKA_SSL_KEYFILE=*key: its certificate is needed too: KAFKA_SSL_CERTFILE"),
    ],
)
def test_an_unusable_certificate_is_named_with_the_reason(files, cert, key, password, line):
    with pytest.raises(SettingsError) as caught:
        connect(files, cert, key, kafka_ssl_password=password)
    assert line.replace("*", f"{files['good'].parent}/") in str(caught.value)


def test_a_certificate_that_no_tls_would_show_is_refused(files):
    with pytest.raises(SettingsError, match="no TLS is spoken with KAFKA_SECURITY_PROTOCOL=PLAINTEXT"):
        connect(files, "good", "key", "PLAINTEXT")
