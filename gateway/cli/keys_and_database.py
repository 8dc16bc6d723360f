"""Commands that open the gateway's stores themselves: `maskwright keys`, `audit` and `migrate`.

No gateway needs to run. Anyone who can open its database, or its files, can make keys.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar
from uuid import UUID

import structlog
import typer

from gateway.access.audit import AuditEntry, AuditFilter, AuditLog, FileAudit
from gateway.access.callers import OPERATE, READ, WRITE, run_scope
from gateway.access.keys import ApiKey, FileKeys, KeyStore, new_key
from gateway.cli.jobs import age
from gateway.cli.main import exit_on_bad_settings, shell_settings
from gateway.cli.options import Json
from gateway.cli.terminal import cell, complain, print_json, say, screen, table
from gateway.errors import Problem
from gateway.pipelines.registry import known_pipelines
from gateway.postgres.connection import MigrationError
from gateway.postgres.database import find_database, prepare
from gateway.postgres.keys_and_audit import PostgresAudit, PostgresKeys
from gateway.postgres.pool import open_pool
from gateway.settings import Settings, SettingsError
from gateway.settings.fields import is_tenant
from gateway.timing import timestamp
from gateway.worker.webhooks import Signer

T = TypeVar("T")

_NOWHERE = (
    "POSTGRES_DSN=: no database is named, and no stack runs here that has one; start it with `maskwright up`, and for "
    "a gateway without a database set DB_USE_DATABASE=false"
)
"""A gateway with a database does not read keys from files."""

keys = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Make, list and revoke API keys; show webhook secrets."
)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for; only to be read here.")],
    scope: Annotated[list[str], typer.Option(help="run:PIPELINE, run:*, jobs:read, jobs:write, jobs:*, operate.")],
    tenant: Annotated[str, typer.Option(help="Whose jobs the key is for; those of no tenant otherwise.")] = "",
    days: Annotated[int, typer.Option(min=0, max=36_500, help="Days after which it expires; 0: never.")] = 0,
) -> None:
    """Make a key. It is shown this once, on standard output; only a digest of it is kept."""
    _check_scopes(scope, tenant)
    now = datetime.now(UTC)
    key, text = new_key(name, tenant, scope, now, now + timedelta(days=days) if days else None)
    with_access_stores(lambda stores: stores.keys.add(key))
    typer.echo(text)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """Every key, the newest first."""
    found = with_access_stores(lambda stores: stores.keys.all())
    if as_json:
        print_json([_key_view(key) for key in found])
    else:
        _print_keys(found)


@keys.command()
def revoke(ids: Annotated[list[str], typer.Argument(metavar="KEY…", help="Ids of keys.")]) -> None:
    """Let keys never be used again, from this moment on."""

    async def end(stores: AccessStores) -> list[bool]:
        return [await stores.keys.revoke(key) for key in ids]

    ended = with_access_stores(end)
    for key, was_valid in zip(ids, ended, strict=True):
        if was_valid:
            say(f"{key} revoked")
        else:
            complain(f"{key}: no such key, or revoked before")
    if not all(ended):
        raise typer.Exit(1)


@keys.command()
def webhook(
    tenant: Annotated[str, typer.Option(help="Whose callbacks; else those of jobs of no tenant.")] = "",
) -> None:
    """Show the secret with which a tenant's receivers verify callbacks; that of no other follows from it."""
    _check_tenant(tenant)
    with exit_on_bad_settings():
        signer = Signer.from_settings(shell_settings())
        if signer is None:
            raise SettingsError("WEBHOOK_SECRET is not set; tenants' secrets are derived from it")
    say(signer.secret_of(tenant))


def _check_scopes(scopes: Sequence[str], tenant: str) -> None:
    known = (*map(run_scope, known_pipelines()), "run:*", READ, WRITE, "jobs:*", OPERATE)
    unknown = [scope for scope in scopes if scope not in known]
    if unknown:
        detail = f"there is no scope {unknown[0]!r}; there are: {', '.join(known)}"
        raise typer.BadParameter(detail, param_hint="--scope")
    _check_tenant(tenant)


def _check_tenant(tenant: str) -> None:
    if not is_tenant(tenant):
        raise typer.BadParameter("lower-case letters, digits, - and _, at most 63", param_hint="--tenant")


def _key_state(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= datetime.now(UTC) else "valid"


def _key_view(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": list(key.scopes),
        "state": _key_state(key),
        "created_at": timestamp(key.created_at),
        "expires_at": timestamp(key.expires_at) if key.expires_at else None,
        "revoked_at": timestamp(key.revoked_at) if key.revoked_at else None,
    }


def _print_keys(found: Sequence[ApiKey]) -> None:
    rows = table("key", "name", "tenant", "scopes", "age", "state")
    for key in found:
        created = age(timestamp(key.created_at))
        rows.add_row(*map(cell, (key.id, key.name, key.tenant, " ".join(key.scopes), created, _key_state(key))))
    screen().print(rows)


def audit(
    job: Annotated[UUID | None, typer.Option(help="Only what was done to this job.")] = None,
    caller: Annotated[str | None, typer.Option(help="Only what this caller did, such as key:5f0c1d9be1f9.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only what callers of this tenant did.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,
) -> None:
    """Who did what to which job, the newest first."""
    entries = with_access_stores(lambda stores: stores.audit.entries(AuditFilter(job, caller, tenant, limit)))
    if as_json:
        print_json([_entry_view(entry) for entry in entries])
    else:
        _print_entries(entries)


def _entry_view(entry: AuditEntry) -> dict[str, object]:
    return {**vars(entry), "at": timestamp(entry.at), "job_id": str(entry.job_id) if entry.job_id else None}


def _print_entries(entries: Sequence[AuditEntry]) -> None:
    """The column `to` has the job, or the address if there is no job."""
    rows = table("at", "caller", "tenant", "did", "to", "refused")
    for entry in entries:
        what = entry.job_id or entry.target
        names = (entry.caller, entry.tenant, entry.action, what, entry.code or "")
        rows.add_row(f"{entry.at:%Y-%m-%d %H:%M:%S}", *map(cell, names))
    screen().print(rows)


def migrate() -> None:
    """Make or renew the tables in PostgreSQL; the gateway and the workers do so too when they start.

    Stop those of an older version first, and keep a backup: an older version does not start on the new tables.
    """
    with _exit_on_store_errors():
        applied = asyncio.run(prepare(_database_settings()))
    for done in applied:
        say(f"applied {done}")
    if not applied:
        say("The tables are up to date.")


def _database_settings() -> Settings:
    """The settings. Raises SettingsError, also if they name no database."""
    settings = shell_settings()
    if not settings.postgres_dsn.get_secret_value():
        raise SettingsError("POSTGRES_DSN=: the address of a database is needed")
    return settings


@dataclass(frozen=True)
class AccessStores:
    """Where a gateway with the same settings keeps its keys and its audit log."""

    keys: KeyStore
    audit: AuditLog


def with_access_stores(work: Callable[[AccessStores], Awaitable[T]]) -> T:
    """The result of the work. Raises typer.Exit after a message if the stores cannot be opened.

    Logs go to standard error, so that `KEY=$(maskwright keys create …)` is only the key.
    """
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
    with _exit_on_store_errors():
        return asyncio.run(_work(shell_settings(), work))


async def _work(settings: Settings, work: Callable[[AccessStores], Awaitable[T]]) -> T:
    async with _opened(settings) as stores:
        return await work(stores)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[AccessStores]:
    if settings.db_use_database and not settings.uses_database:
        raise SettingsError(_NOWHERE)
    if not settings.uses_database:
        yield AccessStores(FileKeys(settings), FileAudit(settings))
        return
    database, _ = await find_database(settings)
    async with open_pool(database, settings.postgres_pool_size) as pool:
        yield AccessStores(PostgresKeys(pool), PostgresAudit(pool))


@contextmanager
def _exit_on_store_errors() -> Iterator[None]:
    """Complain of an error in one line, and raise typer.Exit: 2 for settings, 1 for the database."""
    with exit_on_bad_settings():
        try:
            yield
        except (MigrationError, Problem) as error:
            complain(error)
            raise typer.Exit(1) from error
