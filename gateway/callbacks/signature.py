"""Signatures of callbacks: Standard Webhooks 1.0, symmetric, with a secret of each tenant."""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from pydantic import SecretStr
from standardwebhooks import Webhook

from gateway.settings import Settings, SettingsError

_PREFIX = "whsec_"
_LEAST_BYTES = 24
_MOST_BYTES = 64
_DERIVED_BYTES = 32
_LABEL = b"maskwright webhook secret v1, tenant:"
"""No message's id begins like this, so a signature can never be another tenant's secret."""


@dataclass(frozen=True)
class Signer:
    """Signs with a secret of each tenant, from which no other tenant's secret can be computed.

    `root` is the operator's secret, `before` the one it replaced. The tenants' secrets are derived from them by
    HKDF-Expand (RFC 5869) with SHA-256; HKDF-Extract is not needed, as the operator's secrets are random (§3.3).
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

        There is a signature by each secret that a receiver of the tenant may have; the receiver accepts any one.
        """
        moment, text = datetime.fromtimestamp(timestamp, UTC), body.decode()
        signatures = (Webhook(key).sign(message_id, moment, text) for key in self._keys(tenant))
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(signatures),
        }

    def _keys(self, tenant: str) -> Iterator[bytes]:
        if not tenant:
            yield self.root  # all receivers verified with this one before each tenant had a secret
        yield _derived(self.root, tenant)
        if self.before:
            yield self.before
            yield _derived(self.before, tenant)


def _derived(root: bytes, tenant: str) -> bytes:
    return HKDFExpand(SHA256(), _DERIVED_BYTES, _LABEL + tenant.encode()).derive(root)


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
