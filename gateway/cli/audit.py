"""`maskwright audit`."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import typer

from gateway.access.audit import AuditEntry, AuditFilter
from gateway.cli.ledgers import with_ledgers
from gateway.cli.options import Json
from gateway.cli.terminal import cell, print_json, screen, table
from gateway.jobs.outbox_messages import timestamp


def audit(
    job: Annotated[UUID | None, typer.Option(help="Only what was done to this job.")] = None,
    caller: Annotated[str | None, typer.Option(help="Only what this caller did, such as key:5f0c1d9be1f9.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only what callers of this tenant did.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 50,
    as_json: Json = False,  # noqa: FBT002 typer makes a flag of it
) -> None:
    """Who did what to which job, the newest first."""
    entries = with_ledgers(lambda ledgers: ledgers.audit.entries(AuditFilter(job, caller, tenant, limit)))
    if as_json:
        print_json([_view(entry) for entry in entries])
    else:
        _print(entries)


def _view(entry: AuditEntry) -> dict[str, object]:
    return {**vars(entry), "at": timestamp(entry.at), "job_id": str(entry.job_id) if entry.job_id else None}


def _print(entries: Sequence[AuditEntry]) -> None:
    """Of two columns one is long: the job where there is one, else the address."""
    rows = table("at", "caller", "tenant", "did", "to", "refused")
    for entry in entries:
        what = entry.job_id or entry.target
        names = (entry.caller, entry.tenant, entry.action, what, entry.code or "")
        rows.add_row(f"{entry.at:%Y-%m-%d %H:%M:%S}", *map(cell, names))
    screen().print(rows)
