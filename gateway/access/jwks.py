"""Public keys of whoever signs tokens: a JSON Web Key Set (RFC 7517), in a file or at the issuer's address."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from jwt import PyJWK
from jwt.algorithms import AllowedPublicKeys
from jwt.exceptions import PyJWTError

from gateway.errors import Problem
from gateway.fetching.guard import host_of, parse_url
from gateway.logs import get_logger
from gateway.proxies import ProxyError, is_inside, way_to
from gateway.settings import SettingsError
from gateway.text import read_json

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Mapping[tuple[object, object], Sequence[str]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""By a key's kind and curve (RFC 7518 §3.1, RFC 8037 §3.1)."""
_TAKEN = frozenset(algorithm for algorithms in _ALGORITHMS.values() for algorithm in algorithms)
_MOST_KEYS = 100
_MOST_BYTES = 1024 * 1024
_FETCH_S = 5.0
_STALE_S = 3600.0
_PAUSE_S = 10.0
"""Between two questions to the issuer, whatever keys tokens name."""

_log = get_logger(__name__)


@dataclass(frozen=True)
class PublicKey:
    """A key, its name where it has one, and the algorithms that it may be used with."""

    id: str | None
    algorithms: Sequence[str]
    key: AllowedPublicKeys


class Keys:
    """Some keys."""

    def __init__(self, keys: Sequence[PublicKey] = ()) -> None:
        self._keys = keys

    def find(self, key_id: object, algorithm: str) -> Sequence[PublicKey]:
        """Those that may have signed a token: of its key's name, else the nameless; all, where the token names none."""
        fitting = [key for key in self._keys if algorithm in key.algorithms]
        if key_id is None:
            return fitting
        return [key for key in fitting if key.id == key_id] or [key for key in fitting if key.id is None]


class JwksFile:
    """Keys in a file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError where the file holds no key that can be used."""
        self._path = path
        try:
            self._changed_at = _changed_at(path)
            self._keys = read_keys(path.read_bytes())
        except (OSError, ValueError) as error:
            raise SettingsError(f"JWT_JWKS_FILE={path}: {error}") from error

    def find(self, key_id: object, algorithm: str) -> Sequence[PublicKey]:
        """Keys that may have signed a token."""
        self._renew()
        return self._keys.find(key_id, algorithm)

    def _renew(self) -> None:
        """A file that cannot be read now may be being written: the keys stay as they are."""
        try:
            changed_at = _changed_at(self._path)
            if changed_at != self._changed_at:
                self._keys, self._changed_at = read_keys(self._path.read_bytes()), changed_at
        except (OSError, ValueError) as error:
            _log.warning(f"JWT_JWKS_FILE={self._path}: {error}; the keys from before stay")


class JwksUrl:
    """Keys at the issuer's address; fetched again each hour, and where a token names another key, but not too often."""

    def __init__(self, url: str) -> None:
        """Raises SettingsError for what is no URL, and for an address whose answer others could change on its way."""
        try:
            address = parse_url(url)
        except Problem as problem:
            raise SettingsError(f"JWT_JWKS_URL=…: {problem.detail}") from problem
        if address.scheme != "https" and not is_inside(host_of(address)):
            raise SettingsError(f"JWT_JWKS_URL={url}: https is needed, or a host of a private network")
        self._url = address
        self._keys = Keys()
        self._read_at = self._asked_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    def find(self, key_id: object, algorithm: str) -> Sequence[PublicKey]:
        """Keys that may have signed a token, of those that were fetched last; where they are old, newer are on the way.

        Must be called inside a running loop.
        """
        found = self._keys.find(key_id, algorithm)
        if found and time.monotonic() - self._read_at > _STALE_S:
            self._ask()
        return found

    async def renew(self, key_id: object, algorithm: str) -> bool:
        """Fetch the keys where none may have signed a token; whether one may have then.

        Raises Problem `keys_unavailable` where there are none yet.
        """
        if algorithm not in _TAKEN or self._keys.find(key_id, algorithm):
            return False
        self._ask()
        if self._fetching:
            await asyncio.wait([self._fetching])
        if self._read_at == float("-inf"):
            detail = "The keys of the tokens' issuer could not be fetched."
            raise Problem("keys_unavailable", detail, retry_after=_PAUSE_S)
        return bool(self._keys.find(key_id, algorithm))

    def _ask(self) -> None:
        """One question at a time, and not too often."""
        if time.monotonic() - self._asked_at > _PAUSE_S and (self._fetching is None or self._fetching.done()):
            self._asked_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        """What goes wrong is logged; the keys from before stay."""
        try:
            async with asyncio.timeout(_FETCH_S), httpx.AsyncClient(transport=way_to(self._url)) as client:
                self._keys = read_keys(await _download(client, self._url))
            self._read_at = time.monotonic()
        except (TimeoutError, httpx.HTTPError, ProxyError, ValueError) as error:
            _log.warning(f"JWT_JWKS_URL={self._url}: {error or type(error).__name__}; the keys from before stay")


async def _download(client: httpx.AsyncClient, url: httpx.URL) -> bytes:
    """Raises ValueError where the answer is none, or too large."""
    content = bytearray()
    async with client.stream("GET", url, headers={"Accept": "application/json"}) as answer:
        if not answer.is_success:
            raise ValueError(f"answered {answer.status_code}")
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES} bytes")
    return bytes(content)


def _changed_at(path: Path) -> int:
    return path.stat().st_mtime_ns


def read_keys(text: bytes) -> Keys:
    """The keys of a set that can check signatures; others are passed over. Raises ValueError where there is none."""
    members = read_json(text)
    listed = members.get("keys") if isinstance(members, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JSON object with the list `keys`")  # noqa: TRY004 the file is wrong, not the program
    keys = [key for member in listed[:_MOST_KEYS] if isinstance(member, dict) and (key := _key_of(member))]
    if not keys:
        raise ValueError("it holds no public key for signatures (RSA, P-256, P-384, P-521 or Ed25519)")
    return Keys(keys)


def _key_of(member: Mapping[str, object]) -> PublicKey | None:
    """None for a key of another kind or for another purpose, and for one that is damaged."""
    kind, curve, key_id = member.get("kty"), member.get("crv"), member.get("kid")
    if not (isinstance(kind, str) and isinstance(curve, str | None) and isinstance(key_id, str | None)):
        return None
    possible = _ALGORITHMS.get((kind, None if kind == "RSA" else curve), ())
    named = member.get("alg")
    algorithms = [one for one in possible if named in (None, one) or (one, named) == ("EdDSA", "Ed25519")]
    operations = member.get("key_ops", ["verify"])
    signs = member.get("use") in (None, "sig") and isinstance(operations, list) and "verify" in operations
    if not (algorithms and signs):
        return None
    try:
        public = {name: value for name, value in member.items() if name in {"kty", "crv", "n", "e", "x", "y"}}
        return PublicKey(key_id, algorithms, PyJWK(public, algorithms[0]).key)
    except (PyJWTError, TypeError, ValueError) as error:
        _log.warning(f"a key of the JSON Web Key Set is passed over: {error}", key_id=key_id)
        return None
