"""Whether one of our own processes lives."""

import asyncio
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException

PROBE_TIMEOUT = 5.0


async def ask_live(host: str, port: int) -> None:
    """GET /health/live. Raises OSError or http.client.HTTPException where the answer is not 200."""
    await asyncio.to_thread(_ask, host, port)


def _ask(host: str, port: int) -> None:
    """With the standard library's client: the probe runs every second, and a richer one costs 20 ms to make."""
    connection = HTTPConnection(host, port, timeout=PROBE_TIMEOUT)
    try:
        connection.request("GET", "/health/live")
        answer = connection.getresponse()
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise HTTPException(f"/health/live answered {answer.status}")
