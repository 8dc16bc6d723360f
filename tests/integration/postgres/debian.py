"""Debian's PostgreSQL with TLS; the embedded one is built without. Tests are passed over where it is missing."""

import datetime as dt
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.ports import free_ports

PROGRAMS = max(Path("/usr/lib/postgresql").glob("*/bin/postgres"), default=None)
PASSWORD = "sesame"  # noqa: S105
NOBODY = 65534
ACCESS = """
local all all trust
hostssl all tls_only all scram-sha-256
hostssl all certified all cert
host all postgres all scram-sha-256
"""


@dataclass(frozen=True)
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        return self.folder / "ca.crt"

    def sign(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host) for host in hosts]
        builder = _builder(name, self.certificate.subject, key)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return _written(self.folder / name, builder.sign(self.key, hashes.SHA256()), key)


@dataclass(frozen=True)
class TlsServer:
    """A server whose certificate is of `localhost`, and who signed it; `folder` holds its socket."""

    port: int
    authority: Authority
    folder: Path

    def address(
        self, query: str = "", *, user: str = "postgres", host: str = "localhost", database: str = "postgres"
    ) -> str:
        return f"postgresql://{user}:{PASSWORD}@{host}:{self.port}/{database}?{query}"


def make_authority(folder: Path) -> Authority:
    """A new authority."""
    folder.mkdir(exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {folder.name}")])
    builder = _builder(f"authority {folder.name}", subject, key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256())
    _written(folder / "ca", certificate, key)
    return Authority(folder, key, certificate)


@contextmanager
def running_tls_server() -> Iterator[TlsServer]:
    """A server of its own, with TLS."""
    if PROGRAMS is None:
        pytest.skip("Debian's PostgreSQL is not installed: apt-get install postgresql")
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="tls-postgres-") as name:
        folder = Path(name)
        authority = make_authority(folder / "authority")
        certificate, key = authority.sign("server", "localhost")
        data = folder / "data"
        data.mkdir(mode=0o700)
        password = folder / "password"
        password.write_text(PASSWORD)
        _owned(folder)
        _run(
            "initdb",
            f"--pgdata={data}",
            "--username=postgres",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
        )
        (data / "pg_hba.conf").write_text(ACCESS)
        options = {
            "listen_addresses": "127.0.0.1,::1",
            "port": port,
            "unix_socket_directories": folder,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": certificate,
            "ssl_key_file": key,
            "ssl_ca_file": authority.file,
        }
        told = " ".join(f"-c {name}={value}" for name, value in options.items())
        _run("pg_ctl", "start", "-w", f"--pgdata={data}", f"--options={told}", f"--log={folder}/log")
        try:
            yield TlsServer(port, authority, folder)
        finally:
            _run("pg_ctl", "stop", f"--pgdata={data}", "--mode=immediate")


def _run(program: str, *arguments: str) -> None:
    as_other = [shutil.which("setpriv"), f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"]
    command = [*(as_other if os.geteuid() == 0 else []), str(PROGRAMS.parent / program), *arguments]
    ended = subprocess.run(
        command,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr


def _owned(folder: Path) -> None:
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY)


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _written(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[Path, Path]:
    files = path.with_suffix(".crt"), path.with_suffix(".key")
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files[1].write_bytes(key.private_bytes(*plain))
    files[1].chmod(0o600)
    return files
