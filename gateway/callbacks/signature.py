"""Signatures of callbacks: Standard Webhooks 1.0, symmetric, with a secret of each tenant."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

from pydantic import SecretStr

from gateway.settings import Settings, SettingsError

_PREFIX = "whsec_"
_LEAST_BYTES = 24
_MOST_BYTES = 64
_LABEL = b"maskwright webhook secret v1, tenant:"
"""No message's id begins so: what is signed with a secret is never what another one is derived by."""


@dataclass(frozen=True)
class Signer:
    """Signs with a tenant's own secret, which whoever verifies knows; that of no other follows from it.

    `root` is the operator's, `before` the one that was it until a change. What is derived from either is HKDF-Expand of
    RFC 5869 with SHA-256, one block of 32 bytes; its first step falls away, as the secrets are random (§3.3).
    """

    root: bytes = field(repr=False)
    before: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """With the secrets of WEBHOOK_SECRET and WEBHOOK_SECRET_BEFORE; None where the first is not set.

        Raises SettingsError for a malformed one.
        """
        root = _key("WEBHOOK_SECRET", settings.webhook_secret)
        before = _key("WEBHOOK_SECRET_BEFORE", settings.webhook_secret_before)
        return cls(root, before) if root else None

    def secret_of(self, tenant: str) -> str:
        """A tenant's secret, as its receivers want it; the empty name is that of the jobs of no tenant."""
        return _PREFIX + base64.b64encode(_derived(self.root, tenant)).decode()

    def headers(self, tenant: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers of a message; `timestamp` in seconds since 1970.

        A signature by each secret that a receiver of the tenant may have: one that holds is enough for it.
        """
        signed = f"{message_id}.{timestamp}.".encode() + body
        signatures = (base64.b64encode(hmac.digest(key, signed, hashlib.sha256)) for key in self._keys(tenant))
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(f"v1,{signature.decode()}" for signature in signatures),
        }

    def _keys(self, tenant: str) -> Iterator[bytes]:
        if not tenant:
            yield self.root  # what all receivers verified with, before there was a secret of each tenant
        yield _derived(self.root, tenant)
        if self.before:
            yield self.before
            yield _derived(self.before, tenant)


def _derived(root: bytes, tenant: str) -> bytes:
    return hmac.digest(root, _LABEL + tenant.encode() + b"\x01", hashlib.sha256)


def _key(variable: str, setting: SecretStr) -> bytes | None:
    secret = setting.get_secret_value()
    if not secret:
        return None
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise SettingsError(
            f"{variable}=…: {_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} random bytes in base64 are wanted; "
            f'make one with: echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return key
