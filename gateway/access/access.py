"""Finds out who sends a request."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.requests import Request

from gateway.access.allowance import Allowances
from gateway.access.binding import is_from_here
from gateway.access.caller import LOCAL, Caller
from gateway.access.keys import PREFIX, KeyBook, KeyRing
from gateway.access.scopes import OPERATE, allowed
from gateway.access.tickets import Tickets
from gateway.access.tokens import Tokens
from gateway.deadlines import answer_within
from gateway.errors import Problem
from gateway.settings import Settings

_KEY_HEADER = "X-API-Key"
_PATIENCE_S = 2.0
"""How long a probe that shows a key waits for the database."""


class Access:
    """Callers and what is left to them. `required` where each must show who it is."""

    def __init__(self, settings: Settings, keys: KeyBook) -> None:
        """Raises SettingsError where tokens could not be checked."""
        self.required = settings.access == "required"
        self.allowances = Allowances(settings)
        self._tokens = Tokens(settings)
        self._keys = KeyRing(keys)
        self.tickets = Tickets(keys)
        self._here_operates = settings.access == "off"

    async def caller(self, request: Request, *, tickets: bool = False) -> Caller:
        """Who sends a request; `tickets`: whether one for the job in the address is good enough.

        Raises Problem `credentials_missing`, those of tokens, keys and tickets, and `store_unavailable`.
        """
        if not self.required:
            return LOCAL
        shown_tickets = [text for text in request.query_params.getlist("ticket") if text] if tickets else []
        shown = _shown(request.headers, shown_tickets)
        if shown_tickets:
            return await self.tickets.caller(shown, request.path_params["id"])
        if shown.startswith(PREFIX):
            return await self._keys.caller(shown, request.client.host if request.client else "")
        return await self._tokens.find(shown)

    async def operates(self, request: Request) -> bool:
        """Whether the causes of faults are for who sends this request to an address that is open to all.

        With ACCESS=off this machine does. Behind a proxy nobody is known to, as one that asks lets probes through.
        """
        if not self.required:
            return self._here_operates and is_from_here(request)
        caller = await answer_within(_PATIENCE_S, self.caller(request))
        return caller is not None and allowed(caller.scopes, OPERATE)


def _shown(headers: Headers, tickets: Sequence[str]) -> str:
    """The token, the key or the ticket. Raises Problem `credentials_missing`, also where there is more than one."""
    schemes = (value.strip().partition(" ") for value in headers.getlist("authorization"))
    shown = [token.strip() for scheme, _, token in schemes if scheme.lower() == "bearer"]
    keys = [value.strip() for value in headers.getlist(_KEY_HEADER)]
    given = [text for text in (*shown, *keys, *tickets) if text]
    if len(given) != 1:
        detail = f"Send a token or an API key, as `Authorization: Bearer …` or `{_KEY_HEADER}: …`; one of them."
        raise Problem("credentials_missing", detail, headers={"WWW-Authenticate": "Bearer"})
    return given[0]
