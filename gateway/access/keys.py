"""API keys: random secrets, of which only digests are kept. In a file where there is no database."""

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fcntl import LOCK_EX, flock
from typing import Protocol, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import override

from gateway.access.audit import private_opener
from gateway.access.callers import Caller, TokenBucket, refused_credentials, site_of
from gateway.errors import Problem
from gateway.settings import Settings

PREFIX = "mwk_"
"""Every key begins with this, so that scanners for leaked secrets can find it."""

_TEXT = re.compile(PREFIX + r"([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_ID_BYTES = 6
_SECRET_BYTES = 32
_MINUTE_S = 60.0
_READINGS_PER_MINUTE = 60
_READING_COST = 20
"""A reading counts this much more for each second that it takes: very many keys are read less often."""
_FAILURES_PER_MINUTE = 300
_MOST_UNKNOWN = 10_000

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


class KeyStore(Protocol):
    """Where keys are kept, by id. Every method raises Problem `store_unavailable`."""

    async def add(self, key: ApiKey) -> None:
        """Keep a new key."""

    async def find(self, key_id: str) -> ApiKey | None:
        """One key, revoked or not."""

    async def all(self) -> Sequence[ApiKey]:
        """Every key, the newest first."""

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key for ever. False where there is no such key, or it was revoked before."""

    async def secret(self) -> bytes:
        """The installation's secret: 32 random bytes that all its gateways share, made when first needed."""


def new_key(
    name: str, tenant: str, scopes: Sequence[str], now: datetime, expires_at: datetime | None
) -> tuple[ApiKey, str]:
    """A new key to be kept, and its text, which is shown once."""
    key_id, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return ApiKey(key_id, name, tenant, tuple(scopes), _digest(secret), now, expires_at), f"{PREFIX}{key_id}_{secret}"


class KnownKeys:
    """Finds the callers of keys, and refuses random keys without a query to the database for each.

    The digests of all keys are in memory. A key that is not among them may be new: then all are read again, once for
    all who wait, and not often. So whoever tries random keys learns nothing, and does not slow down other callers.
    """

    def __init__(self, store: KeyStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._known: Collection[tuple[str, str]] = frozenset()
        self._unknown = UnknownKeys(clock)
        self._lock = asyncio.Lock()
        self._began_at = self._ended_at = float("-inf")
        self._problem: Problem | None = None
        self._readings = TokenBucket(_READINGS_PER_MINUTE, clock())

    async def caller(self, text: str, address: str) -> Caller:
        """Who sends the text of a key from an address.

        Raises Problem `key_unknown`; `key_revoked` and `key_expired`, only to those who know the secret;
        `rate_limited` where too many unknown keys came from the address; `store_unavailable`.
        """
        parts = _TEXT.fullmatch(text)
        if parts is None or not await self._is_known((parts[1], _digest(parts[2])), address):
            raise refused_credentials("key_unknown", "There is no such API key.")
        key = await self._store.find(parts[1])
        if key is None or not hmac.compare_digest(key.digest, _digest(parts[2])):
            raise refused_credentials("key_unknown", "There is no such API key.")
        if key.revoked_at:
            raise refused_credentials("key_revoked", f"The API key {key.id} was revoked.")
        if key.expires_at and key.expires_at <= datetime.now(UTC):
            raise refused_credentials("key_expired", f"The API key {key.id} has expired.")
        return Caller.by_key(key.id, key.tenant, key.scopes)

    async def _is_known(self, shown: tuple[str, str], address: str) -> bool:
        if shown not in self._known and shown not in self._unknown:
            await self._read()
        if shown in self._known:
            return True
        self._unknown.add(shown, address)
        return False

    async def _read(self) -> None:
        """Read all keys, or wait for a reading that began after this call. All who wait get the Problem if it fails."""
        came = self._clock()
        async with self._lock:
            is_told = self._problem is not None and self._ended_at > came
            if not is_told and self._began_at <= came:
                await self._read_now()
            if self._problem:
                raise self._problem

    async def _read_now(self) -> None:
        """Read all keys, and note when, and the Problem if it fails. Raises Problem `rate_limited`."""
        if wait_s := self._readings.wait_s(self._clock()):
            raise _too_many(wait_s)
        self._began_at, self._problem, before = self._clock(), None, len(self._known)
        try:
            self._known = frozenset((key.id, key.digest) for key in await self._store.all())
        except Problem as error:
            self._problem = error
        self._ended_at = self._clock()
        if len(self._known) <= before:
            taken_s = self._ended_at - self._began_at
            self._readings.take(1 if self._problem else 1 + int(_READING_COST * taken_s))


class UnknownKeys:
    """Unknown keys that were tried lately, and the networks that they came from; both are limited in number."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}
        self._failures: dict[str, TokenBucket] = {}

    def __contains__(self, shown: tuple[str, str]) -> bool:
        """Whether a key was found to be unknown a moment ago."""
        return self._until.get(shown, float("-inf")) > self._clock()

    def add(self, shown: tuple[str, str], address: str) -> None:
        """Add one. Raises Problem `rate_limited` where many came from its network; known keys from there still pass."""
        now, network = self._clock(), site_of(address)
        if shown not in self:
            self._until.pop(shown, None)
            _make_room(self._until)
            self._until[shown] = now + _MINUTE_S
        failures = self._failures.pop(network, None) or TokenBucket(_FAILURES_PER_MINUTE, now)
        _make_room(self._failures)
        self._failures[network] = failures
        if wait_s := failures.wait_s(now):
            raise _too_many(wait_s)
        failures.take(1)


def _make_room(entries: dict[T, U]) -> None:
    """Forget the oldest."""
    while len(entries) >= _MOST_UNKNOWN:
        del entries[next(iter(entries))]


def _too_many(wait_s: float) -> Problem:
    return Problem("rate_limited", "Too many API keys that do not exist were tried.", retry_after=wait_s)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


_STORED = TypeAdapter(tuple[ApiKey, ...])


class FileKeys(KeyStore):
    """Keys in `access/keys.json` below MASKWRIGHT_HOME, where there is no database."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.maskwright_home / "access" / "keys.json"
        self._secret = secrets.token_bytes(_SECRET_BYTES)

    @override
    async def add(self, key: ApiKey) -> None:
        await asyncio.to_thread(self._change, lambda keys: (key, *keys))

    @override
    async def find(self, key_id: str) -> ApiKey | None:
        return next((key for key in await self.all() if key.id == key_id), None)

    @override
    async def all(self) -> Sequence[ApiKey]:
        return await asyncio.to_thread(self._read)

    @override
    async def secret(self) -> bytes:
        """A secret of this process alone: its jobs are in memory, and no other process has them."""
        return self._secret

    @override
    async def revoke(self, key_id: str) -> bool:
        now, before = datetime.now(UTC), await self.all()
        revoked = {key.id: replace(key, revoked_at=now) for key in before if key.id == key_id and not key.revoked_at}
        if revoked:
            await asyncio.to_thread(self._change, lambda keys: tuple(revoked.get(key.id, key) for key in keys))
        return bool(revoked)

    def _read(self) -> tuple[ApiKey, ...]:
        try:
            return _STORED.validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError) as error:
            raise Problem("store_unavailable", f"{self._path.name} cannot be read.") from error

    def _change(self, change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]]) -> None:
        """One process changes it at a time; readers see the whole file, old or new, also after a crash."""
        try:
            with open(self._path.with_suffix(".lock"), "wb", opener=private_opener) as lock:
                flock(lock, LOCK_EX)
                new = self._path.with_suffix(".new")
                with open(new, "wb", opener=private_opener) as file:
                    file.write(_STORED.dump_json(change(self._read()), indent=1))
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(self._path)
        except OSError as error:
            raise Problem("store_unavailable", f"{self._path.name}: {error.strerror}") from error
