"""The rest of the world, in this process: a server of photos, and a receiver of webhooks."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass(frozen=True)
class Outside:
    """Photos by name, and every webhook received: its bodies by webhook-id, as often as they came."""

    port: int
    photos: Mapping[str, bytes]
    webhooks: Mapping[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    @property
    def webhook_url(self) -> str:
        """Where webhooks are sent to."""
        return f"http://127.0.0.1:{self.port}/webhook"

    def photo_url(self, name: str) -> str:
        """Where a photo is."""
        return f"http://127.0.0.1:{self.port}/photos/{name}"

    async def photo(self, request: Request) -> Response:
        return Response(self.photos[request.path_params["name"]], media_type="image/jpeg")

    async def webhook(self, request: Request) -> Response:
        self.webhooks[request.headers["webhook-id"]].append(await request.body())
        return Response(status_code=204)


@asynccontextmanager
async def serving(port: int, photos: Mapping[str, bytes]) -> AsyncIterator[Outside]:
    """Serve on loopback for as long as the context lasts."""
    outside = Outside(port, photos)
    routes = [
        Route("/photos/{name}", outside.photo),
        Route("/webhook", outside.webhook, methods=["POST"]),
    ]
    config = uvicorn.Config(Starlette(routes=routes), port=port, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve())
    try:
        yield outside
    finally:
        server.should_exit = True
        await running
