"""Finds out who sends a request: by a token, an API key, or a ticket in the address.

A ticket is for a browser's EventSource, which cannot send a header.
"""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from jwt.exceptions import ExpiredSignatureError, PyJWTError
from starlette.datastructures import Headers
from starlette.requests import Request

from gateway.access.callers import LOCAL, OPERATE, READ, Caller, RateLimits, allowed, refused_credentials
from gateway.access.keys import PREFIX, KeyStore, KnownKeys
from gateway.access.tokens import Tokens
from gateway.errors import Problem
from gateway.hosts import is_loopback
from gateway.settings import Settings, SettingsError
from gateway.timing import answer_within

_KEY_HEADER = "X-API-Key"
_PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
_PROBE_WAIT_S = 2.0
"""How long a probe that sends a key waits for the database."""

_TICKET_LIFE = timedelta(seconds=60)
_TICKET_ALGORITHM = "HS256"
_LONGEST_TICKET = 2000


class Authentication:
    """Finds the callers of requests; `required` where each must send a token or a key. Has their rate limits too."""

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

        With ACCESS=off everybody on this machine may. With ACCESS=open nobody may, as the proxy does not check probes.
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


class Tickets:
    """Makes and checks tickets: JSON Web Tokens, not stored, which every gateway of the installation can check."""

    def __init__(self, keys: KeyStore) -> None:
        self._keys = keys
        self._secret = b""

    async def issue(self, caller: Caller, job_id: UUID) -> tuple[str, datetime]:
        """A ticket for the events of one job, and when it ends. Raises Problem `store_unavailable`."""
        until = datetime.now(UTC).replace(microsecond=0) + _TICKET_LIFE
        claims = {"job": str(job_id), "sub": caller.name, "tenant": caller.tenant, "exp": until}
        return jwt.encode(claims, await self._key(), _TICKET_ALGORITHM), until

    async def caller(self, ticket: str, job_id: str) -> Caller:
        """The caller who got a ticket for this job. Raises Problem `ticket_invalid`, `ticket_expired`."""
        if len(ticket) > _LONGEST_TICKET:
            raise refused_credentials("ticket_invalid", "There is no such ticket.")
        try:
            claims = jwt.decode(ticket, await self._key(), [_TICKET_ALGORITHM])
        except ExpiredSignatureError as error:
            raise refused_credentials("ticket_expired", "The ticket has expired; ask for a new one.") from error
        except PyJWTError as error:
            raise refused_credentials("ticket_invalid", "There is no such ticket.") from error
        if claims["job"] != job_id.lower():
            raise refused_credentials("ticket_invalid", "The ticket is another job's.")
        return Caller(claims["sub"], claims["tenant"], (READ,))

    async def _key(self) -> bytes:
        """A key for tickets alone, derived from the installation's secret."""
        self._secret = self._secret or await self._keys.secret()
        return hmac.digest(self._secret, b"tickets for the events of a job", hashlib.sha256)
