"""Callers: who sends a request, what they may do (scopes), and for whom their requests count.

The scopes:

- `run:PIPELINE`: run it, at once or as a job; `run:*` for every pipeline
- `jobs:read`: look at the tenant's jobs and their artifacts
- `jobs:write`: cancel and delete them, send their callbacks again; `jobs:*` for both
- `operate`: the dead letters and the cache, which all tenants share; the metrics, where they are closed
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address

from starlette.requests import Request

from gateway.errors import Problem
from gateway.hosts import ip_of
from gateway.limits.sharing import Owner

READ, WRITE, OPERATE = "jobs:read", "jobs:write", "operate"
RUN_ANY = "run"
"""Any pipeline at all: what an address asks for where only the request's body names the pipeline."""
EVERYTHING = frozenset({"run:*", "jobs:*", OPERATE})

_IN_SCOPE = "caller"
_BY_KEY = "key:"
_SITE_BITS = 64
"""Of an IPv6 address: what one customer gets at least (RFC 6177)."""


def run_scope(pipeline: str) -> str:
    """The scope that a pipeline needs."""
    return f"run:{pipeline}"


def allowed(granted: Collection[str], needed: str) -> bool:
    """Whether one of the granted scopes is the needed one, or the `*` of its kind."""
    if needed == RUN_ANY:
        return any(scope.startswith("run:") for scope in granted)
    kind, colon, _ = needed.partition(":")
    return needed in granted or (bool(colon) and f"{kind}:*" in granted)


@dataclass(frozen=True)
class Caller:
    """A caller. No other has its `name`, such as `key:5f0c1d9be1f9` or `token:alice`.

    Jobs, artifacts and cached results are seen by their tenant alone; `tenant` is empty where none is named.
    """

    name: str
    tenant: str
    scopes: Collection[str]

    @classmethod
    def by_key(cls, key_id: str, tenant: str, scopes: Collection[str]) -> "Caller":
        """The caller that sends an API key."""
        return cls(f"{_BY_KEY}{key_id}", tenant, scopes)

    @property
    def has_key(self) -> bool:
        """Whether it sent an API key."""
        return self.name.startswith(_BY_KEY)

    def check(self, scope: str) -> None:
        """Raise Problem `scope_missing` where the caller does not have the scope."""
        if not allowed(self.scopes, scope):
            needed = "run:PIPELINE" if scope == RUN_ANY else scope
            headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
            raise Problem("scope_missing", f"This needs the scope {needed}.", headers=headers)


LOCAL = Caller("local", "", EVERYTHING)
"""The caller of every request where nobody has to say who they are."""


def note_caller(request: Request, caller: Caller) -> None:
    """Keep the caller with its request."""
    request.scope[_IN_SCOPE] = caller


def caller_of(request: Request) -> Caller:
    """The caller that was kept with the request."""
    caller = request.scope.get(_IN_SCOPE)
    if not isinstance(caller, Caller):
        raise TypeError("nobody asked who sends this request")
    return caller


def owner_by_address(scope: Mapping[str, object]) -> Owner:
    """The owner of a request by the client's address, which gateway.access.forwarded has found out behind proxies."""
    peer = scope.get("client")
    name = site_of(str(peer[0]) if isinstance(peer, (tuple, list)) else "")
    return Owner(name, name)


def owner_of(caller: Caller, by_address: Owner) -> Owner:
    """The owner of a caller's request: the tenant, among whose callers its share is divided."""
    if caller is LOCAL:
        return by_address
    return Owner(f"tenant:{caller.tenant}" if caller.tenant else caller.name, caller.name)


def rate_limited_names(caller: Caller, by_address: Owner) -> tuple[str, str]:
    """Whose rate limits a request counts against: the caller's; and the tenant's, empty where there is none.

    A tenant has one for its tokens alone, whose `sub` its issuer gives out freely; keys are made by the operator.
    """
    if caller is LOCAL:
        return by_address.name, ""
    return f"{caller.tenant}/{caller.name}", "" if caller.has_key else caller.tenant


def site_of(address: str) -> str:
    """What a client is counted by: its address, of which IPv6's are cut to their /64."""
    parsed = ip_of(address)
    if parsed is None:
        return address[:_SITE_BITS]
    return f"{IPv6Address(int(parsed) >> _SITE_BITS << _SITE_BITS)}/64" if parsed.version == 6 else str(parsed)  # noqa: PLR2004
