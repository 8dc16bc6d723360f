"""Finds out who sends a request."""

from starlette.datastructures import Headers

from gateway.access.allowance import Allowances
from gateway.access.caller import LOCAL, Caller
from gateway.access.keys import PREFIX, KeyBook, caller_with
from gateway.access.tokens import Tokens
from gateway.problems import Problem
from gateway.settings import Settings

_KEY_HEADER = "X-API-Key"


class Access:
    """Callers and what is left to them. `required` where each must show who it is."""

    def __init__(self, settings: Settings, keys: KeyBook) -> None:
        """Raises SettingsError where tokens could not be checked."""
        self.required = settings.access == "required"
        self.allowances = Allowances(settings)
        self._tokens = Tokens(settings)
        self._keys = keys

    async def caller(self, headers: Headers) -> Caller:
        """Who sends a request with these headers.

        Raises Problem `credentials_missing`, those of tokens and keys, and `store_unavailable`.
        """
        if not self.required:
            return LOCAL
        shown = _shown(headers)
        if shown.startswith(PREFIX):
            return await caller_with(shown, self._keys)
        return self._tokens.caller(shown)


def _shown(headers: Headers) -> str:
    """The token or the key. Raises Problem `credentials_missing`, also where there is more than one."""
    schemes = (value.strip().partition(" ") for value in headers.getlist("authorization"))
    shown = [token.strip() for scheme, _, token in schemes if scheme.lower() == "bearer"]
    keys = [value.strip() for value in headers.getlist(_KEY_HEADER)]
    given = [text for text in (*shown, *keys) if text]
    if len(given) != 1:
        detail = f"Send a token or an API key, as `Authorization: Bearer …` or `{_KEY_HEADER}: …`; one of them."
        raise Problem("credentials_missing", detail, headers={"WWW-Authenticate": "Bearer"})
    return given[0]
