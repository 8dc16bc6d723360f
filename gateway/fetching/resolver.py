"""Names to addresses."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ipaddress import ip_address

import anyio
import anyio.to_thread

from gateway.fetching.addresses import IPAddress

Resolver = Callable[[str], Awaitable[Sequence[IPAddress]]]
"""All addresses of a name in ASCII, the preferred first. Raises OSError where there is none."""

_LOOKUPS = 256
"""A thread each; so many that names whose servers are silent, as of each callback under way, leave some for others."""


def system_resolver() -> Resolver:
    """The system's resolver, in threads of its own, so that slow names hold up nothing but other names."""
    limiter = anyio.CapacityLimiter(_LOOKUPS)

    async def resolve(name: str) -> Sequence[IPAddress]:
        return await anyio.to_thread.run_sync(partial(_look_up, name), abandon_on_cancel=True, limiter=limiter)

    return resolve


def _look_up(name: str) -> Sequence[IPAddress]:
    answers = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(ip_address(answer[4][0]) for answer in answers))
