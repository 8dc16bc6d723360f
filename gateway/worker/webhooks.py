"""Callbacks: webhooks, signed and sent to the URLs that callers name; masks for the operator's mask asset service."""

import base64
import binascii
import random
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Self

import anyio
import httpx
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook

from gateway.errors import Problem
from gateway.fetching.fetcher import Client, PinnedTransport, open_client, with_host
from gateway.fetching.guard import Guard, Resolver, parse_url, shown, system_resolver
from gateway.jobs.job import CallbackKind
from gateway.jobs.objects import Bucket, ObjectMissingError
from gateway.jobs.outbox import Delivery, DeliveryError, OutboxMessage, Sender, UploadBody
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


_MINUTE = 60.0
_HOUR = 60 * _MINUTE
_JITTER = 0.1
"""The share by which long delays differ at random, so that what failed together does not come back together."""
_LONGEST_RETRY_AFTER_S = 86_400.0
_UNWANTED = frozenset({int(HTTPStatus.GONE)})
"""By Standard Webhooks, a receiver that wants no more answers so; after every other failure another attempt is made."""

_File = tuple[str, bytes, str]


@asynccontextmanager
async def open_senders(
    settings: Settings, artifacts: Bucket, resolve: Resolver | None = None
) -> AsyncIterator[Mapping[CallbackKind, Sender]]:
    """Senders of `webhook` and `upload` for as long as the context lasts; `resolve` replaces the system's resolver.

    Webhooks go only where the guard lets them; MASK_ASSET_URL is the operator's own and may be anywhere. Raises
    SettingsError for a malformed WEBHOOK_SECRET, WEBHOOK_SECRET_BEFORE, MASK_ASSET_URL or MASK_COMPONENT_SECRET.
    """
    check_callbacks(settings)
    signer, timeout_s = Signer.from_settings(settings), settings.callback_timeout_s
    guard = Guard(settings.allowed_networks, resolve or system_resolver())
    async with AsyncExitStack() as stack:
        guarded = await stack.enter_async_context(open_client(PinnedTransport(guard), timeout_s))
        trusted = await stack.enter_async_context(open_client(httpx.AsyncHTTPTransport(), timeout_s))
        yield {
            "webhook": WebhookSender(guarded, signer),
            "upload": UploadSender(trusted, artifacts, settings.mask_component_secret),
        }


def check_callbacks(settings: Settings) -> None:
    """Check the settings that every callback needs. Raises SettingsError."""
    Signer.from_settings(settings)
    _authorisation(settings.mask_component_secret)
    if settings.mask_asset_url:
        try:
            parse_url(settings.mask_asset_url)
        except Problem as problem:
            raise SettingsError(f"MASK_ASSET_URL=…: {problem.detail}") from problem


@dataclass(frozen=True)
class Schedule:
    """The delays between the attempts of one delivery, in seconds."""

    delays_s: tuple[float, ...]

    def delay_s(self, attempts: int) -> float | None:
        """Seconds to wait after so many failed attempts, with jitter from a minute on; None to give up."""
        if attempts > len(self.delays_s):
            return None
        delay_s = self.delays_s[max(0, attempts - 1)]
        if delay_s < _MINUTE:
            return delay_s
        return delay_s * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 jitter, not a secret


WEBHOOK = Schedule(
    (
        *(5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR),
        *(10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
    )
)
"""The schedule that Standard Webhooks 1.0 suggests: ten attempts in some three days."""

UPLOAD = Schedule((1.0, 2.0, 4.0, 8.0))
"""Five attempts in 15 seconds, as the mask asset service expects them."""


class WebhookSender:
    """Sends deliveries of kind `webhook`. Each attempt is signed anew for its tenant; without a signer none is made."""

    trouble: str | None = None
    delay_s = WEBHOOK.delay_s

    def __init__(self, client: Client, signer: Signer | None) -> None:
        self._client = client
        self._signer = signer

    async def deliver(self, delivery: Delivery) -> None:
        """POST the body. Raises DeliveryError."""
        if not self._signer:
            raise DeliveryError("WEBHOOK_SECRET is not set, and callbacks are not sent unsigned")
        with _problems_as_delivery_errors():
            request = self._request(self._signer, delivery.content)
        await _post(self._client, request, _UNWANTED)

    def _request(self, signer: Signer, content: OutboxMessage) -> httpx.Request:
        headers = {
            **content.headers,
            "Content-Type": "application/json",
            **signer.headers(content.tenant, content.key, int(time.time()), content.body),
        }
        url = parse_url(content.destination)
        return httpx.Request("POST", url, content=content.body, headers=with_host(url, headers))


class UploadSender:
    """Sends deliveries of kind `upload`: a multipart form, with X-Internal-Auth if there is a secret.

    Raises SettingsError for a secret that no header can hold.
    """

    trouble: str | None = None
    delay_s = UPLOAD.delay_s

    def __init__(self, client: Client, masks: Bucket, secret: SecretStr) -> None:
        self._client = client
        self._masks = masks
        self._headers = _authorisation(secret)

    async def deliver(self, delivery: Delivery) -> None:
        """POST the form. Raises DeliveryError."""
        body = _upload_of(delivery.content.body)
        with _problems_as_delivery_errors():
            files = {field: await self._file(field, key) for field, key in body.files.items()}
            request = self._request(delivery.content, body, files)
        await _post(self._client, request)

    def _request(self, content: OutboxMessage, body: UploadBody, files: Mapping[str, _File]) -> httpx.Request:
        url, fields = parse_url(content.destination), body.model_dump(exclude={"files"})
        headers = with_host(url, {**content.headers, **self._headers})
        return httpx.Request("POST", url, data=fields, files=files, headers=headers)

    async def _file(self, field: str, key: str) -> _File:
        try:
            mask = await self._masks.get(key)
        except ObjectMissingError as error:
            raise DeliveryError(f"the mask {key} is gone", lasting=True) from error
        return f"{field}.png", mask.data, mask.media_type


def _upload_of(body: bytes) -> UploadBody:
    try:
        return UploadBody.model_validate_json(body)
    except ValidationError as error:
        raise DeliveryError(f"the delivery is not an upload: {error.errors()[0]['msg']}", lasting=True) from error


def _authorisation(secret: SecretStr) -> dict[str, str]:
    """The header with the secret, if there is one. Raises SettingsError for a secret that no header can hold.

    It is checked here because the error of an HTTP library would quote the header.
    """
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise SettingsError("MASK_COMPONENT_SECRET=…: printable ASCII characters are wanted; it is sent in a header")
    return {"X-Internal-Auth": text} if text else {}


async def _post(client: Client, request: httpx.Request, lasting: frozenset[int] = frozenset()) -> None:
    """Send a request; any answer but a 2xx within the client's time is a failure, also a redirect.

    Raises DeliveryError, a lasting one if the answer's status is in `lasting`.
    """
    url = request.url
    try:
        with _problems_as_delivery_errors(), anyio.fail_after(client.timeout_s):
            async with client.send(request) as response:
                if not response.is_success:
                    raise _refusal(url, response, lasting)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise DeliveryError(f"{shown(url)}: no answer within {client.timeout_s:g} s") from error
    except httpx.TransportError as error:
        raise DeliveryError(f"{shown(url)}: {error}") from error


@contextmanager
def _problems_as_delivery_errors() -> Iterator[None]:
    """Turn a Problem into a DeliveryError, a lasting one if the Problem is lasting."""
    try:
        yield
    except Problem as problem:
        raise DeliveryError(problem.detail, lasting=not problem.transient) from problem


def _refusal(url: httpx.URL, response: httpx.Response, lasting: frozenset[int]) -> DeliveryError:
    """The error tells nothing of the body: callers read it, and could use us to read pages that only we may read."""
    return DeliveryError(
        f"{shown(url)} answered {response.status_code}",
        lasting=response.status_code in lasting,
        retry_after_s=_retry_after_s(response.headers.get("retry-after")),
    )


def _retry_after_s(value: str | None) -> float:
    """Seconds from now, at most a day; 0 if the header is missing or malformed (RFC 9110, 10.2.3)."""
    if not value:
        return 0.0
    try:
        seconds = float(value) if value.isdecimal() else _seconds_until(parsedate_to_datetime(value))
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER_S)


def _seconds_until(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.now(UTC)).total_seconds()
