"""Who is told the causes of faults, and what a request shows."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from starlette.requests import Request

from gateway.access.authentication import Authentication
from gateway.access.keys import FileKeys
from gateway.errors import Problem
from gateway.settings import Settings
from tests.integration.gateway.access.credentials import AUDIENCE, ISSUER, SECRET, token


def access(folder: Path, **settings: object) -> Authentication:
    said = Settings.model_validate({"maskwright_home": folder, **settings})
    return Authentication(said, FileKeys(said))


def request(peer: str | None = "127.0.0.1", query: str = "", **headers: str) -> Request:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    client = None if peer is None else (peer, 1)
    return Request({"type": "http", "headers": sent, "client": client, "query_string": query.encode()})


ELSEWHERE: list[tuple[str | None, Mapping[str, str]]] = [
    ("203.0.113.9", {}),
    (None, {}),
    ("127.0.0.1", {"x_forwarded_for": "203.0.113.9"}),
    ("127.0.0.1", {"x_real_ip": "203.0.113.9"}),
    ("127.0.0.1", {"forwarded": "for=203.0.113.9"}),
    ("127.0.0.1", {"via": "1.1 proxy"}),
]


@pytest.mark.parametrize(("peer", "headers"), ELSEWHERE)
async def test_causes_are_not_shown_to_remote_callers_without_credentials(
    tmp_path: Path, peer: str | None, headers: Mapping[str, str]
) -> None:
    for mode in ("off", "open"):
        assert not await access(tmp_path, access=mode).operates(request(peer, **headers))


async def test_causes_are_shown_to_loopback_callers_when_access_is_off(tmp_path: Path) -> None:
    for peer in ("127.0.0.1", "::1"):
        assert await access(tmp_path, access="off").operates(request(peer))
        assert not await access(tmp_path, access="open").operates(request(peer))


async def test_an_empty_ticket_beside_a_token_is_ignored(tmp_path: Path) -> None:
    asking = access(tmp_path, access="required", jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    shown = {"authorization": f"Bearer {token()}"}
    assert (await asking.caller(request(query="ticket=", **shown), tickets=True)).name == "token:acme-user"
    for query, headers in (("ticket=x", shown), ("ticket=x&ticket=y", {}), ("ticket=", {}), ("", {})):
        with pytest.raises(Problem, match="credentials_missing"):
            await asking.caller(request(query=query, **headers), tickets=True)
