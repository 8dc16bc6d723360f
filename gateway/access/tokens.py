"""JSON Web Tokens (RFC 7519), checked as RFC 8725 says, and the public keys that check them (JWKS, RFC 7517)."""

import asyncio
import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK
from jwt.algorithms import AllowedPublicKeys
from jwt.exceptions import ExpiredSignatureError, InvalidSignatureError, PyJWTError
from typing_extensions import override

from gateway.access.callers import Caller, refused_credentials
from gateway.errors import Problem
from gateway.fetching.guard import host_of, parse_url
from gateway.hosts import ProxyError, is_private, transport_to
from gateway.logs import get_logger
from gateway.settings import Settings, SettingsError
from gateway.settings.fields import is_scope, is_tenant
from gateway.untrusted_text import read_json

_LEEWAY_S = 10
"""How far the issuer's clock may be off."""
_LEAST_SECRET_BYTES = 32
"""Of HS256: the size of its hash (RFC 7518 §3.2)."""
_NAME_CHARACTERS = 255
"""Of a `sub`, at most (OpenID Connect Core §2)."""
_REQUIRED = ["exp", "iss", "sub"]
_OPTIONS = jwt.types.Options(
    require=_REQUIRED, enforce_minimum_key_length=True, verify_aud=False, verify_sub=False, verify_jti=False
)
"""PyJWT refuses numbers for `sub` and `jti`, which some issuers use; the audience is checked below."""
Claims = Mapping[str, object]

_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Mapping[tuple[object, object], Sequence[str]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""By a key's kind and curve (RFC 7518 §3.1, RFC 8037 §3.1)."""
_KNOWN_ALGORITHMS = frozenset(algorithm for algorithms in _ALGORITHMS.values() for algorithm in algorithms)
_MOST_KEYS = 100
_MOST_BYTES = 1024 * 1024
_FETCH_S = 5.0
_STALE_S = 3600.0
_PAUSE_S = 10.0
"""Between two requests to the issuer, whatever keys tokens name."""

_log = get_logger(__name__)


class Tokens:
    """Checks tokens.

    A token's algorithm selects the keys, and each key is used with its own algorithms alone. So there is no key for a
    token of the algorithm `none`, nor for one that is signed with a public key as if that were a secret.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where the settings are not enough to check tokens."""
        self._settings = settings
        self._secret = settings.jwt_secret.get_secret_value()
        files = [JwksFile(settings.jwt_jwks_file)] if settings.jwt_jwks_file else []
        self._urls = [JwksUrl(settings.jwt_jwks_url)] if settings.jwt_jwks_url else []
        self._sets: Sequence[Jwks] = [*files, *self._urls]
        if self._secret or self._sets:
            _check(settings)

    async def find(self, token: str) -> Caller:
        """Who sends a token. If no known key signed it, the issuer's keys are fetched again.

        Raises Problem `token_expired`, `token_invalid`, `keys_unavailable`.
        """
        try:
            return self.caller(token)
        except Problem as problem:
            if not isinstance(problem.__cause__, InvalidSignatureError):
                raise
            header = jwt.get_unverified_header(token)
            if not any([await keys.renew(header.get("kid"), str(header.get("alg"))) for keys in self._urls]):
                raise
        return self.caller(token)

    def caller(self, token: str) -> Caller:
        """Who sends a token, by the known keys. Raises Problem `token_expired`, `token_invalid`."""
        try:
            claims = self._claims(token)
        except ExpiredSignatureError as error:
            raise refused_credentials("token_expired", "The token has expired.") from error
        except (PyJWTError, UnsupportedAlgorithm) as error:
            raise refused_credentials("token_invalid", f"{str(error).rstrip('.')}.") from error
        self._check_audience(claims)
        self._check_required(claims)
        return Caller(_name(claims), self._tenant(claims), self._scopes(claims))

    def _claims(self, token: str) -> Claims:
        """The claims of a token that one of the keys signed."""
        header = jwt.get_unverified_header(token)
        algorithm, keys = str(header.get("alg")), self._keys(header)
        for key in keys:
            try:
                claims: Claims = jwt.decode(
                    token, key, [algorithm], _OPTIONS, issuer=self._settings.jwt_issuer, leeway=_LEEWAY_S
                )
            except InvalidSignatureError:
                continue
            return claims
        raise InvalidSignatureError("Signature verification failed")

    def _keys(self, header: Mapping[str, object]) -> Sequence[str | AllowedPublicKeys]:
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secret:
            return [self._secret]
        if not (isinstance(algorithm, str) and self._sets):
            raise refused_credentials(
                "token_invalid", f"Tokens signed with {str(algorithm)[:20]!r} are not accepted here."
            )
        found = [key for keys in self._sets for key in keys.find(header.get("kid"), algorithm)]
        if not found:
            raise InvalidSignatureError("No key of the issuer is the token's (`kid`, `alg`)")
        return [key.key for key in found]

    def _check_audience(self, claims: Claims) -> None:
        """Amazon Cognito's access tokens have `client_id` in place of `aud`."""
        named = claims.get("aud")
        if named is None and claims.get("token_use") == "access":
            named = claims.get("client_id")
        if self._settings.jwt_audience not in (named if isinstance(named, list) else [named]):
            raise refused_credentials("token_invalid", "Audience doesn't match.")

    def _check_required(self, claims: Claims) -> None:
        for entry in self._settings.jwt_required_claims:
            name, _, wanted = entry.partition("=")
            values = (value for value in _listed(_claim(claims, name)) if value is not None)
            if wanted not in (value if isinstance(value, str) else json.dumps(value) for value in values):
                raise refused_credentials("token_invalid", f"The claim {name!r} must be {wanted!r}.")

    def _tenant(self, claims: Claims) -> str:
        name = self._settings.jwt_tenant_claim
        tenant = _claim(claims, name)
        if tenant is None and self._settings.jwt_default_tenant:
            return self._settings.jwt_default_tenant
        if isinstance(tenant, str) and is_tenant(tenant):
            return tenant
        raise refused_credentials("token_invalid", f"The claim {name!r} is needed and must name a tenant.")

    def _scopes(self, claims: Claims) -> Collection[str]:
        """Our scopes in all claims for scopes: words in a text (RFC 9068 §2.2.3), or a list of them."""
        given = [_claim(claims, name) for name in self._settings.jwt_scopes_claim]
        if all(claim is None for claim in given):
            return frozenset(self._settings.jwt_default_scopes)
        prefix = self._settings.jwt_scopes_prefix
        words = (word.removeprefix(prefix) for claim in given for word in _words(claim) if word.startswith(prefix))
        return frozenset(filter(is_scope, words))


def _claim(claims: Claims, name: str) -> object:
    """A claim, or a part of one, such as `realm_access.roles`. None where it is missing."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _listed(claim: object) -> Sequence[object]:
    return claim if isinstance(claim, list) else [claim]


def _words(claim: object) -> Iterator[str]:
    for item in _listed(claim):
        if isinstance(item, str):
            yield from item.split()


def _check(settings: Settings) -> None:
    for variable, value in (("JWT_ISSUER", settings.jwt_issuer), ("JWT_AUDIENCE", settings.jwt_audience)):
        if not value:
            raise SettingsError(f"{variable}=: needed with JWT_SECRET, JWT_JWKS_FILE and JWT_JWKS_URL")
    secret = settings.jwt_secret.get_secret_value().encode()
    if secret and len(secret) < _LEAST_SECRET_BYTES:
        raise SettingsError(f"JWT_SECRET=…: at least {_LEAST_SECRET_BYTES} bytes are needed")


def _name(claims: Claims) -> str:
    subject = claims["sub"]
    name = str(subject) if isinstance(subject, str | int) and not isinstance(subject, bool) else ""
    if not name or len(name) > _NAME_CHARACTERS or not name.isprintable():
        raise refused_credentials(
            "token_invalid", f"The claim 'sub' must have 1 to {_NAME_CHARACTERS} printable characters."
        )
    return f"token:{name}"


@dataclass(frozen=True)
class PublicKey:
    """A key, its name where it has one, and the algorithms that it may be used with."""

    id: str | None
    algorithms: Sequence[str]
    key: AllowedPublicKeys


class Jwks:
    """The public keys of an issuer."""

    def __init__(self, keys: Sequence[PublicKey] = ()) -> None:
        self._keys = keys

    def find(self, key_id: object, algorithm: str) -> Sequence[PublicKey]:
        """Keys that may have signed a token.

        All where the token names no key; else those of that name, or those without a name where none has it.
        """
        fitting = [key for key in self._keys if algorithm in key.algorithms]
        if key_id is None:
            return fitting
        return [key for key in fitting if key.id == key_id] or [key for key in fitting if key.id is None]


class JwksFile(Jwks):
    """Keys in a file, read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError where the file holds no key that can be used."""
        super().__init__()
        self._path = path
        self._changed_at: int | None = None
        try:
            self._renew()
        except (OSError, ValueError) as error:
            raise SettingsError(f"JWT_JWKS_FILE={path}: {error}") from error

    @override
    def find(self, key_id: object, algorithm: str) -> Sequence[PublicKey]:
        try:
            self._renew()
        except (OSError, ValueError) as error:  # it may be half written
            _log.warning(f"JWT_JWKS_FILE={self._path}: {error}; the keys from before stay")
        return super().find(key_id, algorithm)

    def _renew(self) -> None:
        changed_at = self._path.stat().st_mtime_ns
        if changed_at != self._changed_at:
            self._keys, self._changed_at = read_keys(self._path.read_bytes()), changed_at


class JwksUrl(Jwks):
    """Keys at the issuer's address. They are fetched each hour, and for a token with a new key, but not too often."""

    def __init__(self, url: str) -> None:
        """Raises SettingsError for text that is no URL, and for plain http to a public host."""
        try:
            address = parse_url(url)
        except Problem as problem:
            raise SettingsError(f"JWT_JWKS_URL=…: {problem.detail}") from problem
        if address.scheme != "https" and not is_private(host_of(address)):
            raise SettingsError(f"JWT_JWKS_URL={url}: https is needed, or a host of a private network")
        super().__init__()
        self._url = address
        self._read_at = self._asked_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    @override
    def find(self, key_id: object, algorithm: str) -> Sequence[PublicKey]:
        """The same. Old keys are still used while the running loop fetches newer ones."""
        found = super().find(key_id, algorithm)
        if found and time.monotonic() - self._read_at > _STALE_S:
            self._start_fetching()
        return found

    async def renew(self, key_id: object, algorithm: str) -> bool:
        """Fetch the keys if no known one may have signed a token. Returns whether a fetched one may have.

        Raises Problem `keys_unavailable` where there are none yet.
        """
        if algorithm not in _KNOWN_ALGORITHMS or super().find(key_id, algorithm):
            return False
        self._start_fetching()
        if self._fetching:
            await asyncio.wait([self._fetching])
        if self._read_at == float("-inf"):
            detail = "The keys of the tokens' issuer could not be fetched."
            raise Problem("keys_unavailable", detail, retry_after=_PAUSE_S)
        return bool(super().find(key_id, algorithm))

    def _start_fetching(self) -> None:
        """One request at a time, and not too often."""
        if time.monotonic() - self._asked_at > _PAUSE_S and (self._fetching is None or self._fetching.done()):
            self._asked_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        """Fetch the keys. If that fails, it is logged, and the old keys stay."""
        try:
            async with asyncio.timeout(_FETCH_S), httpx.AsyncClient(transport=transport_to(self._url)) as client:
                self._keys = read_keys(await _download(client, self._url))
            self._read_at = time.monotonic()
        except (TimeoutError, httpx.HTTPError, ProxyError, ValueError) as error:
            _log.warning(f"JWT_JWKS_URL={self._url}: {error or type(error).__name__}; the keys from before stay")


async def _download(client: httpx.AsyncClient, url: httpx.URL) -> bytes:
    """The body of the answer. Raises ValueError for an error, and for a body that is too large."""
    content = bytearray()
    async with client.stream("GET", url, headers={"Accept": "application/json"}) as answer:
        if not answer.is_success:
            raise ValueError(f"answered {answer.status_code}")
        async for part in answer.aiter_bytes():
            content += part
            if len(content) > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES} bytes")
    return bytes(content)


def read_keys(text: bytes) -> Sequence[PublicKey]:
    """The keys of a set that can check signatures, without all others. Raises ValueError where there is none."""
    members = read_json(text)
    listed = members.get("keys") if isinstance(members, dict) else None
    if not isinstance(listed, list):
        raise ValueError("not a JSON object with the list `keys`")  # noqa: TRY004 the file is wrong, not the program
    keys = [key for member in listed[:_MOST_KEYS] if isinstance(member, dict) and (key := _key_of(member))]
    if not keys:
        raise ValueError("it holds no public key for signatures (RSA, P-256, P-384, P-521 or Ed25519)")
    return keys


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
