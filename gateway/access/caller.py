"""Who sends a request."""

from collections.abc import Collection
from dataclasses import dataclass

from starlette.requests import Request

from gateway.access import scopes
from gateway.errors import Problem

_KEY = "caller"
_BY_KEY = "key:"


@dataclass(frozen=True)
class Caller:
    """A caller; `name` tells it from all others, such as `key:5f0c1d9be1f9` or `token:alice`.

    Jobs, artifacts and cached results are their tenant's alone; `tenant` is empty for all who name none.
    """

    name: str
    tenant: str
    scopes: Collection[str]

    @classmethod
    def by_key(cls, key_id: str, tenant: str, scopes: Collection[str]) -> "Caller":
        """Whoever shows an API key."""
        return cls(f"{_BY_KEY}{key_id}", tenant, scopes)

    @property
    def has_key(self) -> bool:
        """Whether it is known by an API key."""
        return self.name.startswith(_BY_KEY)

    def check(self, scope: str) -> None:
        """Raise Problem `scope_missing` where the caller may not do what the scope is for."""
        if not scopes.allowed(self.scopes, scope):
            needed = "run:PIPELINE" if scope == scopes.RUN_ANY else scope
            headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
            raise Problem("scope_missing", f"This needs the scope {needed}.", headers=headers)


LOCAL = Caller("local", "", scopes.EVERYTHING)
"""Whoever sends a request where nobody is asked."""


def note_caller(request: Request, caller: Caller) -> None:
    """Say who sends a request."""
    request.scope[_KEY] = caller


def caller_of(request: Request) -> Caller:
    """Who sends a request that was let in."""
    caller = request.scope.get(_KEY)
    if not isinstance(caller, Caller):
        raise TypeError("nobody asked who sends this request")
    return caller
