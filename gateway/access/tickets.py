"""Tickets: what a browser's EventSource, which can send no header, shows in its address instead."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, ValidationError

from gateway.access.caller import Caller
from gateway.access.keys import KeyBook
from gateway.access.scopes import READ
from gateway.errors import Problem

_LIFE = timedelta(seconds=60)
_PURPOSE = b"events of a job\0"
"""What the installation's secret is used for here, so that no other use of it makes a ticket."""
_LONGEST = 2000
_CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class _Claims(BaseModel):
    """Whom a ticket was given to, for which job, and until when: seconds since 1970."""

    job: UUID
    caller: str
    tenant: str
    until: float


class Tickets:
    """Makes tickets and reads them; they are kept nowhere, and each gateway of the installation reads every one."""

    def __init__(self, book: KeyBook) -> None:
        self._book = book
        self._secret = b""

    async def issue(self, caller: Caller, job_id: UUID) -> tuple[str, datetime]:
        """A ticket for the events of one job, and its end. Raises Problem `store_unavailable`."""
        until = datetime.now(UTC).replace(microsecond=0) + _LIFE
        claims = _Claims(job=job_id, caller=caller.name, tenant=caller.tenant, until=until.timestamp())
        said = claims.model_dump_json().encode()
        return f"{_text(said)}.{_text(await self._signature(said))}", until

    async def caller(self, ticket: str, job_id: str) -> Caller:
        """To whom a ticket for this job was given. Raises Problem `ticket_invalid`, `ticket_expired`."""
        said, _, signature = ticket.partition(".")
        if len(ticket) > _LONGEST or not hmac.compare_digest(_bytes(signature), await self._signature(_bytes(said))):
            raise _refused("ticket_invalid", "There is no such ticket.")
        try:
            claims = _Claims.model_validate_json(_bytes(said))
        except ValidationError as error:
            raise _refused("ticket_invalid", "There is no such ticket.") from error
        if str(claims.job) != job_id.lower():
            raise _refused("ticket_invalid", "The ticket is another job's.")
        if claims.until <= datetime.now(UTC).timestamp():
            raise _refused("ticket_expired", "The ticket has expired; ask for a new one.")
        return Caller(claims.caller, claims.tenant, (READ,))

    async def _signature(self, said: bytes) -> bytes:
        self._secret = self._secret or await self._book.secret()
        return hmac.digest(self._secret, _PURPOSE + said, hashlib.sha256)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Nothing for what is no base64."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def _refused(code: str, detail: str) -> Problem:
    return Problem(code, detail, headers=_CHALLENGE)
