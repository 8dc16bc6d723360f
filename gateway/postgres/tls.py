"""How a connection is encrypted, as asyncpg is told."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from gateway.postgres.address import TLS, Address, AddressError

_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_SYSTEM = "system"
_VERIFIED = ("verify-ca", "verify-full")


def tls_arguments(address: Address) -> Mapping[str, object]:
    """Asyncpg's arguments. Raises AddressError for files that cannot be read or hold something else."""
    given = {name: value for name in TLS if (value := address.get(name))}
    for name in _FILES:
        if name in given and given[name] != _SYSTEM:
            _check_file(name, given[name])
    direct = {"direct_tls": True} if address.get("sslnegotiation") == "direct" else {}
    if _by_the_systems_authorities(given):
        return {"ssl": _system_context(given), **direct}
    return {"dsn": f"postgresql://?{urlencode(given)}", **direct} if given else direct


def _by_the_systems_authorities(given: Mapping[str, str]) -> bool:
    """Where they are asked for, or some are needed and none are named; then the host's name counts too."""
    mode = given.get("sslmode") or os.environ.get("PGSSLMODE")
    named = given.get("sslrootcert") or os.environ.get("PGSSLROOTCERT")
    if named or mode not in _VERIFIED:
        return named == _SYSTEM and mode != "disable"
    home = os.environ.get("HOME")
    return not (home and Path(home, ".postgresql", "root.crt").exists())


def _system_context(given: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    try:
        if "sslcert" in given:
            context.load_cert_chain(given["sslcert"], given.get("sslkey"), lambda: given.get("sslpassword", ""))
        if "sslcrl" in given:
            context.load_verify_locations(given["sslcrl"])
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    except OSError as error:
        raise AddressError(f"sslcert, sslkey or sslcrl: {error}") from error
    return context


def _check_file(name: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except (OSError, ValueError) as error:
        raise AddressError(f"{name}: {getattr(error, 'strerror', None) or error}: {path}") from error
