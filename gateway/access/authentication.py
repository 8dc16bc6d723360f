"""Who sends a request: found out by a token, an API key, or a ticket in the address; and where nobody needs one.

A ticket is for a browser's EventSource, which cannot send a header.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.requests import Request

from gateway.access.callers import LOCAL, OPERATE, READ, Caller, RateLimits, allowed
from gateway.access.keys import PREFIX, KeyStore, KnownKeys
from gateway.access.tokens import Tokens
from gateway.deadlines import answer_within
from gateway.errors import Problem
from gateway.hosts import is_loopback
from gateway.settings import Settings, SettingsError

_KEY_HEADER = "X-API-Key"
_PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
_PROBE_WAIT_S = 2.0
"""How long a probe that sends a key waits for the database."""

_TICKET_LIFE = timedelta(seconds=60)
_TICKET_PURPOSE = b"events of a job\0"
"""Signed with each ticket, so that no other use of the installation's secret makes one."""
_LONGEST_TICKET = 2000


class Authentication:
    """Finds the callers of requests; `required` where each must send a token or a key. Holds their rate limits too."""

    def __init__(self, settings: Settings, keys: KeyStore) -> None:
        """Raises SettingsError where tokens could not be checked."""
        self.required = settings.access == "required"
        self.rate_limits = RateLimits(settings)
        self._tokens = Tokens(settings)
        self._keys = KnownKeys(keys)
        self.tickets = Tickets(keys)
        self._operated_from_here = settings.access == "off"

    async def caller(self, request: Request, *, tickets: bool = False) -> Caller:
        """Who sends a request; `tickets`: whether one for the job in the address is accepted.

        Raises Problem `credentials_missing`, those of tokens, keys and tickets, and `store_unavailable`.
        """
        if not self.required:
            return LOCAL
        shown_tickets = [text for text in request.query_params.getlist("ticket") if text] if tickets else []
        shown = _credential(request.headers, shown_tickets)
        if shown_tickets:
            return await self.tickets.caller(shown, request.path_params["id"])
        if shown.startswith(PREFIX):
            return await self._keys.caller(shown, request.client.host if request.client else "")
        return await self._tokens.find(shown)

    async def operates(self, request: Request) -> bool:
        """Whether the sender of a request to an open address may see the causes of faults.

        With ACCESS=off this machine may. With ACCESS=open nobody may: the proxy that asks lets probes through.
        """
        if not self.required:
            return self._operated_from_here and is_from_here(request)
        caller = await answer_within(_PROBE_WAIT_S, self.caller(request))
        return caller is not None and allowed(caller.scopes, OPERATE)


def check_binding(settings: Settings) -> None:
    """Raise SettingsError where other machines could send requests without a token or a key.

    A name below `localhost` is refused too: the resolver may ask other machines for its address.
    """
    host = settings.api_host
    if settings.access != "off" or (is_loopback(host) and not host.rstrip(".").endswith(".localhost")):
        return
    raise SettingsError(
        f"API_HOST={host}: others than this machine could send requests, and nobody asks who they are; "
        "set ACCESS=required, and give them API keys (`maskwright keys create`) or tokens; or ACCESS=open, where a "
        "proxy before the gateway asks"
    )


def is_from_here(request: Request) -> bool:
    """Whether a request comes from this machine, and not through a proxy on it."""
    here = request.client is not None and is_loopback(request.client.host)
    return here and not any(name in request.headers for name in _PROXY_HEADERS)


def _credential(headers: Headers, tickets: Sequence[str]) -> str:
    """The token, key or ticket. Raises Problem `credentials_missing` where there is none, or more than one."""
    schemes = (value.strip().partition(" ") for value in headers.getlist("authorization"))
    tokens = [token.strip() for scheme, _, token in schemes if scheme.lower() == "bearer"]
    keys = [value.strip() for value in headers.getlist(_KEY_HEADER)]
    given = [text for text in (*tokens, *keys, *tickets) if text]
    if len(given) != 1:
        detail = f"Send a token or an API key, as `Authorization: Bearer …` or `{_KEY_HEADER}: …`; one of them."
        raise Problem("credentials_missing", detail, headers={"WWW-Authenticate": "Bearer"})
    return given[0]


class _Claims(BaseModel):
    """Whom a ticket was given to, for which job, and until when: seconds since 1970."""

    job: UUID
    caller: str
    tenant: str
    until: float


class Tickets:
    """Makes tickets and reads them. They are kept nowhere; every gateway of the installation can read them."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._secret = b""

    async def issue(self, caller: Caller, job_id: UUID) -> tuple[str, datetime]:
        """A ticket for the events of one job, and its end. Raises Problem `store_unavailable`."""
        until = datetime.now(UTC).replace(microsecond=0) + _TICKET_LIFE
        claims = _Claims(job=job_id, caller=caller.name, tenant=caller.tenant, until=until.timestamp())
        signed = claims.model_dump_json().encode()
        return f"{_text(signed)}.{_text(await self._signature(signed))}", until

    async def caller(self, ticket: str, job_id: str) -> Caller:
        """To whom a ticket for this job was given. Raises Problem `ticket_invalid`, `ticket_expired`."""
        text, _, signature = ticket.partition(".")
        signed = _bytes(text)
        if len(ticket) > _LONGEST_TICKET or not hmac.compare_digest(_bytes(signature), await self._signature(signed)):
            raise _refused("ticket_invalid", "There is no such ticket.")
        try:
            claims = _Claims.model_validate_json(signed)
        except ValidationError as error:
            raise _refused("ticket_invalid", "There is no such ticket.") from error
        if str(claims.job) != job_id.lower():
            raise _refused("ticket_invalid", "The ticket is another job's.")
        if claims.until <= datetime.now(UTC).timestamp():
            raise _refused("ticket_expired", "The ticket has expired; ask for a new one.")
        return Caller(claims.caller, claims.tenant, (READ,))

    async def _signature(self, signed: bytes) -> bytes:
        self._secret = self._secret or await self._keys.secret()
        return hmac.digest(self._secret, _TICKET_PURPOSE + signed, hashlib.sha256)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Nothing for text that is not base64."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""


def _refused(code: str, detail: str) -> Problem:
    return Problem(code, detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
