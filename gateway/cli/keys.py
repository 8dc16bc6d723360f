"""`maskwright keys create|list|revoke|webhook`."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from gateway.access.keys import ApiKey, new_key
from gateway.access.scopes import OPERATE, READ, WRITE, run
from gateway.access.tenants import is_tenant
from gateway.callbacks.signature import Signer
from gateway.cli.ledgers import Ledgers, with_ledgers
from gateway.cli.options import Json
from gateway.cli.shell import shell_settings, told
from gateway.cli.tables import age
from gateway.jobs.view import timestamp
from gateway.settings import SettingsError
from gateway.settings.settings import PIPELINES
from gateway.terminal import cell, complain, print_json, say, screen, table

_SCOPES = (*map(run, PIPELINES), "run:*", READ, WRITE, "jobs:*", OPERATE)

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Make, list and revoke API keys; show webhook secrets."
)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for; only to be read here.")],
    scope: Annotated[list[str], typer.Option(help="run:PIPELINE, run:*, jobs:read, jobs:write, jobs:*, operate.")],
    tenant: Annotated[str, typer.Option(help="Whose jobs the key is for; those of no tenant otherwise.")] = "",
    days: Annotated[int, typer.Option(min=0, max=36_500, help="Days after which it expires; 0: never.")] = 0,
) -> None:
    """Make a key. It is shown this once, on standard output; only a digest of it is kept."""
    _check(scope, tenant)
    now = datetime.now(UTC)
    key, text = new_key(name, tenant, scope, now, now + timedelta(days=days) if days else None)
    with_ledgers(lambda ledgers: ledgers.keys.add(key))
    typer.echo(text)


@app.command("list")
def list_keys(as_json: Json = False) -> None:  # noqa: FBT002 typer makes a flag of it
    """Every key, the newest first."""
    keys = with_ledgers(lambda ledgers: ledgers.keys.all())
    if as_json:
        print_json([_view(key) for key in keys])
    else:
        _print(keys)


@app.command()
def revoke(keys: Annotated[list[str], typer.Argument(metavar="KEY…", help="Ids of keys.")]) -> None:
    """Let keys never be used again, from this moment on."""

    async def end(ledgers: Ledgers) -> list[bool]:
        return [await ledgers.keys.revoke(key) for key in keys]

    ended = with_ledgers(end)
    for key, was_valid in zip(keys, ended, strict=True):
        if was_valid:
            say(f"{key} revoked")
        else:
            complain(f"{key}: no such key, or revoked before")
    if not all(ended):
        raise typer.Exit(1)


@app.command()
def webhook(
    tenant: Annotated[str, typer.Option(help="Whose callbacks; else those of jobs of no tenant.")] = "",
) -> None:
    """Show the secret with which a tenant's receivers verify callbacks; that of no other follows from it."""
    _check_tenant(tenant)
    with told():
        signer = Signer.from_settings(shell_settings())
        if signer is None:
            raise SettingsError("WEBHOOK_SECRET is not set; tenants' secrets are derived from it")
    say(signer.secret_of(tenant))


def _check(scopes: Sequence[str], tenant: str) -> None:
    unknown = [scope for scope in scopes if scope not in _SCOPES]
    if unknown:
        detail = f"there is no scope {unknown[0]!r}; there are: {', '.join(_SCOPES)}"
        raise typer.BadParameter(detail, param_hint="--scope")
    _check_tenant(tenant)


def _check_tenant(tenant: str) -> None:
    if not is_tenant(tenant):
        raise typer.BadParameter("lower-case letters, digits, - and _, at most 63", param_hint="--tenant")


def _state(key: ApiKey) -> str:
    if key.revoked_at:
        return "revoked"
    return "expired" if key.expires_at and key.expires_at <= datetime.now(UTC) else "valid"


def _view(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "tenant": key.tenant,
        "scopes": list(key.scopes),
        "state": _state(key),
        "created_at": timestamp(key.created_at),
        "expires_at": timestamp(key.expires_at) if key.expires_at else None,
        "revoked_at": timestamp(key.revoked_at) if key.revoked_at else None,
    }


def _print(keys: Sequence[ApiKey]) -> None:
    rows = table("key", "name", "tenant", "scopes", "age", "state")
    for key in keys:
        created = age(timestamp(key.created_at))
        rows.add_row(*map(cell, (key.id, key.name, key.tenant, " ".join(key.scopes), created, _state(key))))
    screen().print(rows)
