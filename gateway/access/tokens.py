"""JSON Web Tokens (RFC 7519), checked as RFC 8725 says."""

from collections.abc import Mapping
from typing import Literal

import jwt
from jwt import PyJWK
from jwt.exceptions import ExpiredSignatureError, PyJWTError

from gateway.access.caller import Caller
from gateway.access.jwks import JwksFile
from gateway.access.scopes import is_scope
from gateway.access.tenants import is_tenant
from gateway.problems import Problem
from gateway.settings import Settings, SettingsError

_LEEWAY_S = 10
"""How far the issuer's clock may be off."""
_LEAST_SECRET_BYTES = 32
"""RFC 7518 §3.2: of HS256, the size of its hash."""
_NAME_CHARACTERS = 128
_REQUIRED = ["exp", "iss", "aud", "sub"]


class Tokens:
    """Checks tokens.

    The algorithm decides the key, and each key is used with its own algorithm alone: a token that names `none`, or that
    is signed with a public key as if that were a secret, has no key here.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where the settings could not tell a good token from a bad one."""
        self._secret = settings.jwt_secret.get_secret_value()
        self._jwks = JwksFile(settings.jwt_jwks_file) if settings.jwt_jwks_file else None
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._tenant_claim = settings.jwt_tenant_claim
        if self._secret or self._jwks:
            _check(settings)

    def caller(self, token: str) -> Caller:
        """Who sends a token. Raises Problem `token_expired`, `token_invalid`."""
        try:
            claims = self._claims(token)
        except ExpiredSignatureError as error:
            raise _refused("token_expired", "The token has expired.") from error
        except PyJWTError as error:
            raise _refused("token_invalid", f"{str(error).rstrip('.')}.") from error
        return Caller(_name(claims), self._tenant(claims), _scopes(claims))

    def _claims(self, token: str) -> Mapping[str, object]:
        algorithm, key = self._key(jwt.get_unverified_header(token))
        claims: Mapping[str, object] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=self._audience,
            issuer=self._issuer,
            leeway=_LEEWAY_S,
            options={"require": _REQUIRED, "enforce_minimum_key_length": True},
        )
        return claims

    def _key(self, header: Mapping[str, object]) -> tuple[Literal["HS256", "RS256"], str | PyJWK]:
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secret:
            return "HS256", self._secret
        if algorithm != "RS256" or self._jwks is None:
            raise _refused("token_invalid", f"Tokens signed with {str(algorithm)[:20]!r} are not accepted here.")
        key = self._jwks.find(header.get("kid"))
        if key is None:
            raise _refused("token_invalid", "No key of JWT_JWKS_FILE is the token's (`kid`).")
        return "RS256", key

    def _tenant(self, claims: Mapping[str, object]) -> str:
        tenant = claims.get(self._tenant_claim)
        if isinstance(tenant, str) and is_tenant(tenant):
            return tenant
        raise _refused("token_invalid", f"The claim {self._tenant_claim!r} is needed and must name a tenant.")


def _check(settings: Settings) -> None:
    for variable, value in (("JWT_ISSUER", settings.jwt_issuer), ("JWT_AUDIENCE", settings.jwt_audience)):
        if not value:
            raise SettingsError(f"{variable}=: needed with JWT_SECRET and JWT_JWKS_FILE")
    secret = settings.jwt_secret.get_secret_value().encode()
    if secret and len(secret) < _LEAST_SECRET_BYTES:
        raise SettingsError(f"JWT_SECRET=…: at least {_LEAST_SECRET_BYTES} bytes are needed")


def _name(claims: Mapping[str, object]) -> str:
    subject = str(claims["sub"])
    if not subject or len(subject) > _NAME_CHARACTERS or not subject.isprintable():
        raise _refused("token_invalid", f"The claim 'sub' must have 1 to {_NAME_CHARACTERS} printable characters.")
    return f"token:{subject}"


def _scopes(claims: Mapping[str, object]) -> frozenset[str]:
    """Those of the claim `scope` that are ours: words in one text (RFC 9068 §2.2.3), or a list of them."""
    given = claims.get("scope", "")
    words = given.split() if isinstance(given, str) else given
    named = words if isinstance(words, list) else []
    return frozenset(word for word in named if isinstance(word, str) and is_scope(word))


def _refused(code: str, detail: str) -> Problem:
    return Problem(code, detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
