"""JSON Web Tokens (RFC 7519), checked as RFC 8725 says."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from jwt.algorithms import AllowedPublicKeys
from jwt.exceptions import ExpiredSignatureError, InvalidSignatureError, PyJWTError

from gateway.access.caller import Caller
from gateway.access.jwks import JwksFile, JwksUrl
from gateway.access.scopes import is_scope
from gateway.access.tenants import is_tenant
from gateway.errors import Problem
from gateway.settings import Settings, SettingsError

_LEEWAY_S = 10
"""How far the issuer's clock may be off."""
_LEAST_SECRET_BYTES = 32
"""RFC 7518 §3.2: of HS256, the size of its hash."""
_NAME_CHARACTERS = 255
"""OpenID Connect Core §2: what a `sub` may have."""
_REQUIRED = ["exp", "iss", "sub"]
_OPTIONS = jwt.types.Options(
    require=_REQUIRED, enforce_minimum_key_length=True, verify_aud=False, verify_sub=False, verify_jti=False
)
"""Issuers number their subjects and tokens, too; the audience is checked here."""
_CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
Claims = Mapping[str, object]


class _UnsignedError(Problem):
    """No key at hand signed the token."""


class Tokens:
    """Checks tokens.

    The algorithm decides the keys, and each key is used with its own algorithms alone: a token that names `none`, or
    that is signed with a public key as if that were a secret, has no key here.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where the settings could not tell a good token from a bad one."""
        self._settings = settings
        self._secret = settings.jwt_secret.get_secret_value()
        files = [JwksFile(settings.jwt_jwks_file)] if settings.jwt_jwks_file else []
        self._urls = [JwksUrl(settings.jwt_jwks_url)] if settings.jwt_jwks_url else []
        self._sets: Sequence[JwksFile | JwksUrl] = [*files, *self._urls]
        if self._secret or self._sets:
            _check(settings)

    async def find(self, token: str) -> Caller:
        """Who sends a token, also by keys that are fetched for it where none at hand signed it.

        Raises Problem `token_expired`, `token_invalid`, `keys_unavailable`.
        """
        try:
            return self.caller(token)
        except _UnsignedError:
            header = jwt.get_unverified_header(token)
            if not any([await keys.renew(header.get("kid"), str(header.get("alg"))) for keys in self._urls]):
                raise
        return self.caller(token)

    def caller(self, token: str) -> Caller:
        """Who sends a token, by the keys at hand. Raises Problem `token_expired`, `token_invalid`."""
        try:
            claims = self._claims(token)
        except InvalidSignatureError as error:
            raise _UnsignedError("token_invalid", f"{error}.", headers=_CHALLENGE) from error
        except ExpiredSignatureError as error:
            raise _refused("token_expired", "The token has expired.") from error
        except (PyJWTError, UnsupportedAlgorithm) as error:
            raise _refused("token_invalid", f"{str(error).rstrip('.')}.") from error
        self._check_audience(claims)
        self._check_required(claims)
        return Caller(_name(claims), self._tenant(claims), self._scopes(claims))

    def _claims(self, token: str) -> Claims:
        """Those of a token that one of the keys signed."""
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
            raise _refused("token_invalid", f"Tokens signed with {str(algorithm)[:20]!r} are not accepted here.")
        found = [key for keys in self._sets for key in keys.find(header.get("kid"), algorithm)]
        if not found:
            raise InvalidSignatureError("No key of the issuer is the token's (`kid`, `alg`)")
        return [key.key for key in found]

    def _check_audience(self, claims: Claims) -> None:
        """Amazon Cognito's access tokens name the client in the place of an audience."""
        named = claims.get("aud")
        if named is None and claims.get("token_use") == "access":
            named = claims.get("client_id")
        if self._settings.jwt_audience not in (named if isinstance(named, list) else [named]):
            raise _refused("token_invalid", "Audience doesn't match.")

    def _check_required(self, claims: Claims) -> None:
        for entry in self._settings.jwt_required_claims:
            name, _, wanted = entry.partition("=")
            values = (value for value in _listed(_claim(claims, name)) if value is not None)
            if wanted not in (value if isinstance(value, str) else json.dumps(value) for value in values):
                raise _refused("token_invalid", f"The claim {name!r} must be {wanted!r}.")

    def _tenant(self, claims: Claims) -> str:
        name = self._settings.jwt_tenant_claim
        tenant = _claim(claims, name)
        if tenant is None and self._settings.jwt_default_tenant:
            return self._settings.jwt_default_tenant
        if isinstance(tenant, str) and is_tenant(tenant):
            return tenant
        raise _refused("token_invalid", f"The claim {name!r} is needed and must name a tenant.")

    def _scopes(self, claims: Claims) -> Collection[str]:
        """Those of ours in all the claims that may hold some: words in a text (RFC 9068 §2.2.3), or a list of them."""
        given = [_claim(claims, name) for name in self._settings.jwt_scopes_claim]
        if all(claim is None for claim in given):
            return frozenset(self._settings.jwt_default_scopes)
        prefix = self._settings.jwt_scopes_prefix
        words = (word.removeprefix(prefix) for claim in given for word in _words(claim) if word.startswith(prefix))
        return frozenset(filter(is_scope, words))


def _claim(claims: Claims, name: str) -> object:
    """A claim of this name; or a part of one, as `realm_access.roles` is. None where it is missing."""
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
        raise _refused("token_invalid", f"The claim 'sub' must have 1 to {_NAME_CHARACTERS} printable characters.")
    return f"token:{name}"


def _refused(code: str, detail: str) -> Problem:
    return Problem(code, detail, headers=_CHALLENGE)
