"""Signed callbacks to URLs that callers name."""

import time
from http import HTTPStatus

import httpx

from gateway.callbacks.post import post, problems_told
from gateway.callbacks.schedule import WEBHOOK
from gateway.callbacks.signature import Signer
from gateway.fetching.client import Client, with_host
from gateway.fetching.urls import parse_url
from gateway.jobs.outbox import Delivery, DeliveryError, OutboxMessage

_UNWANTED = frozenset({int(HTTPStatus.GONE)})
"""By Standard Webhooks, how a receiver says that it wants no more; every other failure may pass."""


class WebhookCourier:
    """Carries deliveries of kind `webhook`, each attempt signed anew for its tenant; without a signer none is sent."""

    def __init__(self, client: Client, signer: Signer | None) -> None:
        self._client = client
        self._signer = signer

    async def deliver(self, delivery: Delivery) -> None:
        """POST the body. Raises DeliveryError."""
        if not self._signer:
            raise DeliveryError("WEBHOOK_SECRET is not set, and callbacks are not sent unsigned")
        with problems_told():
            request = self._request(self._signer, delivery.content)
        await post(self._client, request, _UNWANTED)

    @property
    def trouble(self) -> None:
        """None: each receiver is given up by itself."""

    def delay_s(self, attempts: int) -> float | None:
        """Ten attempts in some three days."""
        return WEBHOOK.delay_s(attempts)

    def _request(self, signer: Signer, content: OutboxMessage) -> httpx.Request:
        headers = {
            **content.headers,
            "Content-Type": "application/json",
            **signer.headers(content.tenant, content.key, int(time.time()), content.body),
        }
        url = parse_url(content.destination)
        return httpx.Request("POST", url, content=content.body, headers=with_host(url, headers))
