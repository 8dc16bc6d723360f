"""Lists that come in pages."""

from collections.abc import Mapping

import httpx

from gateway.cli.client import accepted

_PAGE = 200


async def collect(
    client: httpx.AsyncClient, path: str, member: str, filters: Mapping[str, str], limit: int
) -> list[Mapping[str, object]]:
    """The first `limit` entries under a member of the answers. Raises RefusedError."""
    found: list[Mapping[str, object]] = []
    cursor: dict[str, str] = {}
    while len(found) < limit:
        size = {"limit": str(min(_PAGE, limit - len(found)))}
        page = accepted(await client.get(path, params={**filters, **size, **cursor})).json()
        found.extend(page[member])
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    return found
