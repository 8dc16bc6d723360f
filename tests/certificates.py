"""Certificates that vouch for themselves, made by openssl."""

import shutil
import subprocess
from pathlib import Path

OPENSSL = shutil.which("openssl")


def self_signed(path: Path, name: str, alternatives: str) -> Path:
    """Write a certificate for two days, and its key beside it; `alternatives` as in IP:127.0.0.1,DNS:photos.test."""
    command = [
        OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
        "-addext", f"subjectAltName={alternatives}", "-keyout", path.with_suffix(".key"), "-out", path,
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return path
