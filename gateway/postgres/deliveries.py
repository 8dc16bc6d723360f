"""Rows of the outbox, as the transaction that owes them adds them."""

import json
from collections.abc import Sequence
from uuid import UUID

from gateway.jobs.outbox import OutboxMessage
from gateway.jobs.store import OUTBOX
from gateway.postgres.connection import Connection
from gateway.postgres.notifications import notify
from gateway.postgres.rows import clean

_ADD = """
INSERT INTO maskwright.deliveries (job_id, kind, destination, key, headers, body, receiver, tenant)
SELECT $1, kind, destination, key, headers::json, body, receiver, tenant
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::text[], $8::text[])
    WITH ORDINALITY AS new(kind, destination, key, headers, body, receiver, tenant, place)
ORDER BY place
"""


async def add_deliveries(connection: Connection, job_id: UUID | None, deliveries: Sequence[OutboxMessage]) -> None:
    """Owe deliveries, in their order; those of no job are forgotten once they are made."""
    if not deliveries:
        return
    await connection.execute(
        _ADD,
        job_id,
        [delivery.kind for delivery in deliveries],
        [clean(delivery.destination) for delivery in deliveries],
        [clean(delivery.key) for delivery in deliveries],
        [json.dumps(dict(delivery.headers)) for delivery in deliveries],
        [delivery.body for delivery in deliveries],
        [clean(delivery.lane.receiver) for delivery in deliveries],
        [delivery.tenant for delivery in deliveries],
    )
    await notify(connection, [OUTBOX])
