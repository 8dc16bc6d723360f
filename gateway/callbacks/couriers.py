"""The couriers of callbacks."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

import httpx

from gateway.callbacks.signature import Signer
from gateway.callbacks.upload import UploadCourier, authorisation
from gateway.callbacks.webhook import WebhookCourier
from gateway.fetching.client import PinnedTransport, open_client
from gateway.fetching.guard import Guard
from gateway.fetching.resolver import Resolver, system_resolver
from gateway.fetching.urls import parse_url
from gateway.jobs.job import CallbackKind
from gateway.jobs.objects import Bucket
from gateway.jobs.outbox import Sender
from gateway.problems import Problem
from gateway.settings import Settings, SettingsError


@asynccontextmanager
async def open_couriers(
    settings: Settings, artifacts: Bucket, resolve: Resolver | None = None
) -> AsyncIterator[Mapping[CallbackKind, Sender]]:
    """Couriers of `webhook` and `upload` for as long as the context lasts; `resolve` in place of the system's resolver.

    Webhooks go where the guard lets them; MASK_ASSET_URL is the operator's own and may be anywhere. Raises
    SettingsError for a malformed WEBHOOK_SECRET, WEBHOOK_SECRET_BEFORE, MASK_ASSET_URL or MASK_COMPONENT_SECRET.
    """
    check_callbacks(settings)
    signer, timeout_s = Signer.from_settings(settings), settings.callback_timeout_s
    guard = Guard(settings.allowed_networks, resolve or system_resolver())
    async with AsyncExitStack() as stack:
        guarded = await stack.enter_async_context(open_client(PinnedTransport(guard), timeout_s))
        trusted = await stack.enter_async_context(open_client(httpx.AsyncHTTPTransport(), timeout_s))
        yield {
            "webhook": WebhookCourier(guarded, signer),
            "upload": UploadCourier(trusted, artifacts, settings.mask_component_secret),
        }


def check_callbacks(settings: Settings) -> None:
    """Refuse what no callback could be sent with. Raises SettingsError."""
    Signer.from_settings(settings)
    authorisation(settings.mask_component_secret)
    _check_asset_url(settings.mask_asset_url)


def _check_asset_url(url: str) -> None:
    if not url:
        return
    try:
        parse_url(url)
    except Problem as problem:
        raise SettingsError(f"MASK_ASSET_URL=…: {problem.detail}") from problem
