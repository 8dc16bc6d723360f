"""Lists that come in pages."""

from collections.abc import Mapping

import httpx
from pydantic import TypeAdapter

from gateway.cli.client import UNEXPECTED, RefusedError, content_of

_PAGE = 200
_KIND = TypeAdapter(dict[str, object])


async def collect(
    client: httpx.AsyncClient, path: str, member: str, filters: Mapping[str, str], limit: int
) -> list[Mapping[str, object]]:
    """The first `limit` entries under a member of the answers. Raises RefusedError."""
    found: list[Mapping[str, object]] = []
    cursor: dict[str, str] = {}
    while len(found) < limit:
        size = {"limit": str(min(_PAGE, limit - len(found)))}
        page = content_of(await client.get(path, params={**filters, **size, **cursor}), _KIND)
        entries, follows = page.get(member), page.get("next")
        if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
            raise RefusedError(UNEXPECTED, f"{path} answered with no list of {member}")
        found.extend(entries[: limit - len(found)])
        if follows is None or not entries:
            break
        cursor = {"cursor": str(follows)}
    return found
