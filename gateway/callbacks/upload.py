"""Masks sent to the operator's mask asset service."""

from collections.abc import Mapping

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from gateway.callbacks.post import post, problems_told
from gateway.callbacks.schedule import UPLOAD
from gateway.fetching.client import Client, with_host
from gateway.fetching.urls import parse_url
from gateway.jobs.objects import Bucket, ObjectMissingError
from gateway.jobs.outbox import Delivery, DeliveryError, OutboxMessage
from gateway.settings import SettingsError

_File = tuple[str, bytes, str]


class UploadBody(BaseModel):
    """An upload as the outbox keeps it: the form's fields, and the masks' keys by the names of their fields."""

    user_id: str
    job_id: str
    provider: str
    files: Mapping[str, str]


class UploadCourier:
    """Carries deliveries of kind `upload`: a multipart form, with X-Internal-Auth where there is a secret.

    Raises SettingsError for a secret that no header can hold.
    """

    def __init__(self, client: Client, masks: Bucket, secret: SecretStr) -> None:
        self._client = client
        self._masks = masks
        self._headers = authorisation(secret)

    async def deliver(self, delivery: Delivery) -> None:
        """POST the form. Raises DeliveryError."""
        body = _read(delivery.content.body)
        with problems_told():
            files = {field: await self._file(field, key) for field, key in body.files.items()}
            request = self._request(delivery.content, body, files)
        await post(self._client, request)

    @property
    def trouble(self) -> None:
        """None: each receiver is given up by itself."""

    def delay_s(self, attempts: int) -> float | None:
        """Five attempts in 15 seconds."""
        return UPLOAD.delay_s(attempts)

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


def _read(body: bytes) -> UploadBody:
    try:
        return UploadBody.model_validate_json(body)
    except ValidationError as error:
        raise DeliveryError(f"the delivery is not an upload: {error.errors()[0]['msg']}", lasting=True) from error


def authorisation(secret: SecretStr) -> dict[str, str]:
    """The header with the secret, if there is one. Raises SettingsError for a secret that no header can hold.

    Checked here, because an HTTP library quotes a header that it cannot send.
    """
    text = secret.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise SettingsError("MASK_COMPONENT_SECRET=…: printable ASCII characters are wanted; it is sent in a header")
    return {"X-Internal-Auth": text} if text else {}
