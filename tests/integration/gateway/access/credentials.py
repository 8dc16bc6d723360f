"""Tokens and keys, good ones and bad ones."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

from gateway.access.keys import KeyStore, new_key

SECRET = "a secret of the tests that is long enough"  # noqa: S105 of the tests
ISSUER, AUDIENCE, KEY_ID = "https://issuer.example.com", "maskwright", "key-1"
EVERYTHING = ("run:*", "jobs:*", "operate")
Headers = Mapping[str, str]


def bearer(token: str) -> Headers:
    return {"Authorization": f"Bearer {token}"}


def claims(tenant: str = "acme", scope: Iterable[str] = EVERYTHING, **others: object) -> dict[str, object]:
    """Those of a good token; a value of None leaves one out."""
    made = {"sub": f"{tenant}-user", "iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 3600, "tenant": tenant}
    return {name: value for name, value in {**made, "scope": " ".join(scope), **others}.items() if value is not None}


def token(**changes: object) -> str:
    """A token that is signed with the secret."""
    return jwt.encode(claims(**changes), SECRET, "HS256")


def caller(tenant: str = "acme", scope: Iterable[str] = EVERYTHING) -> Headers:
    """Headers of a caller who is let in."""
    return bearer(token(tenant=tenant, scope=scope))


@dataclass(frozen=True)
class Signer:
    """Whose public key the gateway has in a file."""

    key: RSAPrivateKey

    @classmethod
    def new(cls) -> "Signer":
        return cls(generate_private_key(65537, 2048))

    @property
    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def token(self, key_id: str | None = KEY_ID, **changes: object) -> str:
        return jwt.encode(claims(**changes), self.key, "RS256", {"kid": key_id} if key_id else None)

    def write(self, path: Path, key_id: str = KEY_ID) -> Path:
        """The key set as a file."""
        public = {**RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True), "kid": key_id, "use": "sig"}
        path.write_text(json.dumps({"keys": [public]}))
        return path


def forged(header: Mapping[str, object] | str, secret: bytes | None = None, body: str = "") -> str:
    """A token with any header and claims, also as JSON texts, signed with HMAC-SHA256 or with nothing."""
    texts = (header if isinstance(header, str) else json.dumps(header), body or json.dumps(claims()))
    signed = ".".join(_part(text.encode()) for text in texts)
    signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest() if secret else b""
    return f"{signed}.{_part(signature)}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def key(book: KeyStore, tenant: str = "acme", scopes: Iterable[str] = EVERYTHING, days: int = 1) -> str:
    """A new key that is kept; of past days it has expired."""
    now = datetime.now(UTC)
    made, text = new_key("test", tenant, tuple(scopes), now, now + timedelta(days=days))
    await book.add(made)
    return text


async def refused(book: KeyStore, signer: Signer) -> Mapping[str, tuple[Headers, str]]:
    """Headers that nobody is let in with, and the code of the answer."""
    good, expired, revoked = await key(book), await key(book, days=-1), await key(book)
    assert await book.revoke(revoked.split("_")[1])
    past, soon = time.time() - 3600, time.time() + 3600
    bad_tokens = {
        "nonsense": "nonsense",
        "three parts of nonsense": "a.b.c",
        "signed with another secret": jwt.encode(claims(), SECRET[::-1], "HS256"),
        "signed with another key": Signer.new().token(),
        "a key that is not in the file": signer.token(key_id="key-2"),
        "alg none": forged({"alg": "none", "typ": "JWT"}),
        "alg none, written otherwise": forged({"alg": "NonE"}),
        "no alg": forged({"typ": "JWT"}),
        "the public key as a secret": forged({"alg": "HS256"}, signer.public_pem),
        "the public key as a secret, named": forged({"alg": "HS256", "kid": KEY_ID}, signer.public_pem),
        "another algorithm of the same secret": jwt.encode(claims(), SECRET * 2, "HS512"),
        "a key of its own": forged({"alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}}, b"x"),
        "a critical header": forged({"alg": "HS256", "crit": ["new"], "new": 1}, SECRET.encode()),
        "wrong audience": token(aud="others"),
        "no audience": token(aud=None),
        "wrong issuer": token(iss="https://others.example.com"),
        "no issuer": token(iss=None),
        "no end": token(exp=None),
        "not yet": token(nbf=soon),
        "nobody": token(sub=None),
        "a name that breaks lines": token(sub="a\nb"),
        "no tenant": signer.token(tenant=None),
        "a tenant that is a path": token(tenant="../acme"),
    }
    bad_keys = {
        "no such key": (f"mwk_{'0' * 12}_{'x' * 43}", "key_unknown"),
        "a key's id with another secret": (good[:-4] + "aaaa", "key_unknown"),
        "half a key": (good[:20], "key_unknown"),
        "revoked": (revoked, "key_revoked"),
        "expired key": (expired, "key_expired"),
    }
    return {
        "nothing": ({}, "credentials_missing"),
        "empty": ({"Authorization": "Bearer"}, "credentials_missing"),
        "another scheme": ({"Authorization": "Basic YTpi"}, "credentials_missing"),
        "two at once": ({**bearer(token()), "X-API-Key": good}, "credentials_missing"),
        "two of a kind": (httpx.Headers([*bearer(token()).items()] * 2), "credentials_missing"),
        "two keys": (httpx.Headers([("X-API-Key", good), ("X-API-Key", good)]), "credentials_missing"),
        "expired": (bearer(token(exp=past)), "token_expired"),
        "expired, signed with a key": (bearer(signer.token(exp=past)), "token_expired"),
        **{name: (bearer(bad), "token_invalid") for name, bad in bad_tokens.items()},
        **{name: (bearer(bad), code) for name, (bad, code) in bad_keys.items()},
        **{f"{name}, in its own header": ({"X-API-Key": bad}, code) for name, (bad, code) in bad_keys.items()},
    }
