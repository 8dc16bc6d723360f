"""API keys: random secrets, of which only digests are kept."""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from gateway.access.allowance import Allowance
from gateway.access.caller import Caller
from gateway.access.origin import site_of
from gateway.errors import Problem

PREFIX = "mwk_"
"""How every key begins, so that scanners for leaked secrets can know it."""

_TEXT = re.compile(PREFIX + r"([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_ID_BYTES = 6
_SECRET_BYTES = 32
_MINUTE_S = 60.0
_READINGS_PER_MINUTE = 60
_READING_COST = 20
"""Readings that a second of one counts as: where there are very many keys they are read less often."""
_FAILURES_PER_MINUTE = 300
_MOST_STRANGERS = 10_000
_CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class ApiKey:
    """A key as it is kept. `digest` is the SHA-256 of its secret, in hexadecimal digits.

    A secret of 256 random bits cannot be guessed, so that no slow hash is needed to protect it.
    """

    id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    digest: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class KeyBook(Protocol):
    """Keys by id. Every method raises Problem `store_unavailable`."""

    async def add(self, key: ApiKey) -> None:
        """Keep a new key."""

    async def find(self, key_id: str) -> ApiKey | None:
        """One key, revoked or not."""

    async def all(self) -> Sequence[ApiKey]:
        """Every key, the newest first."""

    async def revoke(self, key_id: str) -> bool:
        """Let a key never be used again. False where there is no such key that could be."""

    async def secret(self) -> bytes:
        """32 random bytes that all gateways of this installation share, made when they are first needed."""


def new_key(
    name: str, tenant: str, scopes: Sequence[str], now: datetime, expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """A new key to be kept, and its text, which is told once."""
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return ApiKey(key_id, name, tenant, tuple(scopes), _digest(secret), now, expires_at), f"{PREFIX}{key_id}_{secret}"


class KeyRing:
    """Looks keys up, and tells random ones from those that there are without a question to the database for each.

    The digests of all keys are in memory. One that is not there may be new: then all are read again, once for all who
    wait, and not often. So whoever tries keys at random learns nothing, and takes nothing from those who have one.
    """

    def __init__(self, book: KeyBook, clock: Callable[[], float] = time.monotonic) -> None:
        self._book = book
        self._clock = clock
        self._known: Collection[tuple[str, str]] = frozenset()
        self._strangers = Strangers(clock)
        self._lock = asyncio.Lock()
        self._reading = _Reading(float("-inf"), float("-inf"))
        self._readings = Allowance(_READINGS_PER_MINUTE, clock())

    async def caller(self, text: str, address: str) -> Caller:
        """Who sends the text of a key from an address.

        Raises Problem `key_unknown`, `key_revoked`, `key_expired`, the latter two only to who knows the secret;
        `rate_limited` to those whose keys were not there too often; `store_unavailable`.
        """
        parts = _TEXT.fullmatch(text)
        if parts is None or not await self._is_known((parts[1], _digest(parts[2])), address):
            raise Problem("key_unknown", "There is no such API key.", headers=_CHALLENGE)
        key = await self._book.find(parts[1])
        if key is None or not hmac.compare_digest(key.digest, _digest(parts[2])):
            raise Problem("key_unknown", "There is no such API key.", headers=_CHALLENGE)
        if key.revoked_at:
            raise Problem("key_revoked", f"The API key {key.id} was revoked.", headers=_CHALLENGE)
        if key.expires_at and key.expires_at <= datetime.now(UTC):
            raise Problem("key_expired", f"The API key {key.id} has expired.", headers=_CHALLENGE)
        return Caller.by_key(key.id, key.tenant, key.scopes)

    async def _is_known(self, shown: tuple[str, str], address: str) -> bool:
        if shown in self._known:
            return True
        if shown not in self._strangers:
            await self._read()
        if shown in self._known:
            return True
        self._strangers.add(shown, address)
        return False

    async def _read(self) -> None:
        """Read all keys, or wait for a reading that began after this call; a failure is everybody's who waited."""
        came = self._clock()
        async with self._lock:
            if self._reading.began_at > came or (self._reading.problem and self._reading.ended_at > came):
                self._reading.tell()
                return
            if wait_s := self._readings.wait_s(self._clock()):
                raise _too_many(wait_s)
            began_at, problem, before = self._clock(), None, len(self._known)
            try:
                self._known = frozenset((key.id, key.digest) for key in await self._book.all())
            except Problem as error:
                problem = error
            self._reading = _Reading(began_at, self._clock(), problem)
            if len(self._known) <= before:
                self._readings.take(1 if problem else 1 + int(_READING_COST * (self._reading.ended_at - began_at)))
            self._reading.tell()


@dataclass(frozen=True)
class _Reading:
    """When all keys were read; readings of the clock, in seconds."""

    began_at: float
    ended_at: float
    problem: Problem | None = None

    def tell(self) -> None:
        """Raise the Problem that it ended with."""
        if self.problem:
            raise self.problem


class Strangers:
    """Keys that were not there lately, and from where they came; both bounded."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}
        self._failures: dict[str, Allowance] = {}

    def __contains__(self, shown: tuple[str, str]) -> bool:
        """Whether a key was not there a moment ago."""
        return self._until.get(shown, float("-inf")) > self._clock()

    def add(self, shown: tuple[str, str], address: str) -> None:
        """One more. Raises Problem `rate_limited` where many came from there; a new key is let in all the same."""
        now, network = self._clock(), site_of(address)
        if shown not in self:
            self._until.pop(shown, None)
            _make_room(self._until)
            self._until[shown] = now + _MINUTE_S
        failures = self._failures.pop(network, None) or Allowance(_FAILURES_PER_MINUTE, now)
        _make_room(self._failures)
        self._failures[network] = failures
        if wait_s := failures.wait_s(now):
            raise _too_many(wait_s)
        failures.take(1)


def _make_room(entries: dict[T, U]) -> None:
    """Forget the oldest."""
    while len(entries) >= _MOST_STRANGERS:
        del entries[next(iter(entries))]


def _too_many(wait_s: float) -> Problem:
    return Problem("rate_limited", "Too many API keys that do not exist were tried.", retry_after=wait_s)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
