import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access import authentication as module
from gateway.access.authentication import Tickets
from gateway.access.callers import Caller
from gateway.access.keys import FileKeys
from gateway.errors import Problem
from gateway.settings import Settings

JOB = UUID("6f1c0e4e-0d0e-4a57-8f2b-0f6a3c1e9d11")
ALICE = Caller("token:alice", "acme", ("run:*", "jobs:*", "operate"))
STORE = FileKeys(Settings(maskwright_home=Path("nowhere")))


async def refused(ticket: str, job: UUID = JOB, tickets: Tickets | None = None) -> str:
    with pytest.raises(Problem) as caught:
        await (tickets or Tickets(STORE)).caller(ticket, str(job))
    return caught.value.code


async def test_a_ticket_lets_its_caller_read_one_job_from_any_gateway_for_a_minute() -> None:
    ticket, expires = await Tickets(STORE).issue(ALICE, JOB)
    assert 50 < (expires - datetime.now(UTC)).total_seconds() <= 60
    assert await Tickets(STORE).caller(ticket, str(JOB).upper()) == Caller("token:alice", "acme", ("jobs:read",))
    assert await refused(ticket, uuid4()) == "ticket_invalid"


async def test_a_ticket_of_another_installation_is_refused() -> None:
    ticket, _ = await Tickets(STORE).issue(ALICE, JOB)
    others = Tickets(FileKeys(Settings(maskwright_home=Path("elsewhere"))))
    assert await refused(ticket, tickets=others) == "ticket_invalid"


async def test_an_expired_ticket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TICKET_LIFE", -module._TICKET_LIFE)
    ticket, _ = await Tickets(STORE).issue(ALICE, JOB)
    assert await refused(ticket) == "ticket_expired"


async def test_a_changed_ticket_is_refused() -> None:
    ticket, _ = await Tickets(STORE).issue(ALICE, JOB)
    head, said, signature = ticket.split(".")
    claims = json.loads(base64.urlsafe_b64decode(said + "=="))
    for changes in ({"tenant": "globex"}, {"exp": 4_000_000_000}, {"job": str(uuid4())}):
        forged = base64.urlsafe_b64encode(json.dumps({**claims, **changes}).encode()).rstrip(b"=").decode()
        assert await refused(f"{head}.{forged}.{signature}") == "ticket_invalid"
    for odd in ("", "..", signature, said, f"{head}.{said}.", f"..{signature}", f"{ticket}.x", ticket * 20):
        assert await refused(odd) == "ticket_invalid"


@given(st.text(max_size=80))
async def test_an_invalid_ticket_is_refused(text: str) -> None:
    assert await refused(text) == "ticket_invalid"
