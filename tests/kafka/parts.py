"""Parts of a worker that need no Triton, and a server of tokens."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.kafka.sender import open_message_sender
from gateway.metrics.instruments import Instruments
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.worker.relay import Relay
from tests.integration.kafka.stores import work_off
from tests.web import Asked, Web, reply, serving

_LEASE_S = 30.0
_LIFE_S = 3600


@asynccontextmanager
async def relaying(settings: Settings, stores: Stores) -> AsyncIterator[None]:
    """Messages are carried from the outbox to the broker."""
    instruments = Instruments("worker")
    async with (
        open_message_sender(settings, instruments.kafka) as sender,
        _running(Relay("message", sender, stores, _LEASE_S, instruments.deliveries).run()),
    ):
        yield


@asynccontextmanager
async def finishing(stores: Stores) -> AsyncIterator[None]:
    """Jobs complete as soon as they come."""

    async def finish() -> None:
        while True:
            await work_off(stores, 10)
            await asyncio.sleep(0.05)

    async with _running(finish()):
        yield


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


@dataclass
class Tokens:
    """An OAuth server that gives tokens without a signature to who knows the secret."""

    web: Web
    life_s: int = _LIFE_S
    forms: list[str] = field(default_factory=list)

    def settings(self, secret: str = "s:cret") -> dict[str, str]:  # noqa: S107
        return {
            "kafka_oauth_token_url": self.web.url("/token"),
            "kafka_oauth_client_id": "maskwright",
            "kafka_oauth_client_secret": secret,
            "kafka_oauth_scope": "kafka",
        }


@asynccontextmanager
async def token_server() -> AsyncIterator[Tokens]:
    """Runs one on loopback."""
    tokens: list[Tokens] = []

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        tokens[0].forms.append(asked.body.decode())
        who = base64.b64decode(asked.headers["authorization"].removeprefix("Basic ")).decode()
        token = {"access_token": _unsigned(tokens[0].life_s), "expires_in": tokens[0].life_s}
        good = reply(200, json.dumps(token).encode())
        bad = reply(401, b'{"error": "invalid_client", "error_description": "wrong secret"}')
        await (good if who == "maskwright:s%3Acret" else bad)(asked, writer)

    async with serving(answer) as web:
        tokens.append(Tokens(web))
        yield tokens[0]


def _unsigned(life_s: int) -> str:
    now = int(time.time())
    claims = {"sub": "maskwright", "iat": now, "exp": now + life_s}
    return ".".join(_segment(part) for part in ({"alg": "none"}, claims)) + "."


def _segment(part: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
