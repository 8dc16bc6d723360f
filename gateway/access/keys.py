"""API keys: random secrets, of which only digests are kept."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from gateway.access.caller import Caller
from gateway.problems import Problem

PREFIX = "mwk_"
"""How every key begins, so that scanners for leaked secrets can know it."""

_TEXT = re.compile(PREFIX + r"([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_ID_BYTES = 6
_SECRET_BYTES = 32
_CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


@dataclass(frozen=True)
class ApiKey:
    """A key as it is kept. `digest` is the SHA-256 of its secret, in hexadecimal digits.

    A secret of 256 random bits cannot be guessed, so that no slow hash is needed to protect it.
    """

    id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class KeyBook(Protocol):
    """Keys by id. Every method raises Problem `store_unavailable`."""

    async def add(self, key: ApiKey) -> None:
        """Keep a new key."""

    async def find(self, key_id: str) -> ApiKey | None:
        """One key, revoked or not."""

    async def all(self) -> Sequence[ApiKey]:
        """Every key, the newest first."""

    async def revoke(self, key_id: str) -> bool:
        """Let a key never be used again. False where there is no such key that could be."""


def new_key(
    name: str, tenant: str, scopes: Sequence[str], now: datetime, expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """A new key to be kept, and its text, which is told once."""
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return ApiKey(key_id, name, tenant, tuple(scopes), _digest(secret), now, expires_at), f"{PREFIX}{key_id}_{secret}"


async def caller_with(text: str, keys: KeyBook) -> Caller:
    """Who sends the text of a key.

    Raises Problem `key_unknown`, `key_revoked`, `key_expired`; the latter two only to who knows the secret.
    """
    parts = _TEXT.fullmatch(text)
    key = await keys.find(parts[1]) if parts else None
    if parts is None or key is None or not hmac.compare_digest(key.digest, _digest(parts[2])):
        raise Problem("key_unknown", "There is no such API key.", headers=_CHALLENGE)
    if key.revoked_at:
        raise Problem("key_revoked", f"The API key {key.id} was revoked.", headers=_CHALLENGE)
    if key.expires_at and key.expires_at <= datetime.now(UTC):
        raise Problem("key_expired", f"The API key {key.id} has expired.", headers=_CHALLENGE)
    return Caller(f"key:{key.id}", key.tenant, key.scopes)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
