"""Signatures of callbacks: Standard Webhooks 1.0, symmetric."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Self

from gateway.settings import Settings, SettingsError

_PREFIX = "whsec_"
_LEAST_BYTES = 24
_MOST_BYTES = 64


@dataclass(frozen=True)
class Signer:
    """Signs with one key."""

    key: bytes = field(repr=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self | None:
        """With the key of WEBHOOK_SECRET; None where it is not set. Raises SettingsError for a malformed one."""
        secret = settings.webhook_secret.get_secret_value()
        return cls(_key(secret)) if secret else None

    def headers(self, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
        """The three headers of a message; `timestamp` in seconds since 1970."""
        signed = f"{message_id}.{timestamp}.".encode() + body
        signature = base64.b64encode(hmac.digest(self.key, signed, hashlib.sha256)).decode()
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": f"v1,{signature}",
        }


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_PREFIX) or not _LEAST_BYTES <= len(key) <= _MOST_BYTES:
        raise SettingsError(
            f"WEBHOOK_SECRET=…: {_PREFIX} and {_LEAST_BYTES} to {_MOST_BYTES} random bytes in base64 are wanted; "
            f'make one with: echo "{_PREFIX}$(openssl rand -base64 32)"'
        )
    return key
