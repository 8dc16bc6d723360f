"""Locks on the doors between the parts of the embedded S3 server, which nobody but itself goes through."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_GRPC = ("MASTER", "VOLUME", "FILER", "S3", "ADMIN", "WORKER", "CLIENT")
_HTTPS = ("MASTER", "VOLUME", "FILER", "ADMIN", "CLIENT")
"""The parts that speak each; `CLIENT` stands for every part that calls another. The signed S3 itself stays plain."""
_FROM, _UNTIL = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
"""Clocks may be wrong, and a server may run for years."""


def inner_locks(certificate: Path) -> Mapping[str, str]:
    """The variables by which every part of SeaweedFS shows the others a certificate, and asks for it.

    `certificate` is a file that `write_certificate` wrote. Names: `weed scaffold -config=security`; a file of that name
    in the working directory would count for less. TLS with connections that are kept costs a read 0.1 ms of processor
    time, signed tokens (`jwt.signing.read`) 0.3 ms.
    """
    grpc = {f"GRPC_{part}_{kind}": str(certificate) for part in _GRPC for kind in ("CERT", "KEY")}
    https = {f"HTTPS_{part}_{kind}": str(certificate) for part in _HTTPS for kind in ("CERT", "KEY", "CA")}
    whole = {"GRPC_CA": str(certificate), "HTTPS_CLIENT_ENABLED": "true"}
    return {f"WEED_{name}": value for name, value in {**grpc, **https, **whole}.items()}


def write_certificate(path: Path) -> None:
    """Write a new key, for the owner's eyes alone, and a certificate that vouches for itself, into one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret + _certificate(key).public_bytes(serialization.Encoding.PEM))


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "maskwright")])
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_FROM)
        .not_valid_after(_UNTIL)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .sign(key, hashes.SHA256())
    )
