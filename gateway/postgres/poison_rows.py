"""Rows of the poison book, as the transactions that give something up add them."""

import hashlib

from gateway.jobs.dead_letters import BadMessage, dead_letter_origin
from gateway.jobs.job import Job, Outcome
from gateway.postgres.connection import Connection
from gateway.postgres.deliveries import add_deliveries
from gateway.postgres.rows import clean

_ADD_MESSAGE = """
INSERT INTO maskwright.poison (origin, key, value, value_sha256, code, detail, attempts)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT DO NOTHING RETURNING id
"""
_ADD_JOB = """
INSERT INTO maskwright.poison (job_id, origin, code, detail, attempts) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING
"""


async def add_message_poison(connection: Connection, poison: BadMessage) -> None:
    """Keep a message and announce it, unless it came before."""
    added = await connection.fetchrow(
        _ADD_MESSAGE,
        poison.origin,
        poison.key,
        poison.value,
        hashlib.sha256(poison.value).digest(),
        poison.failure.code,
        clean(poison.failure.detail),
        poison.attempts,
    )
    if added:
        await add_deliveries(connection, None, [poison.outbox_message])


async def add_job_poison(connection: Connection, job: Job, outcome: Outcome) -> None:
    """Keep a job that came as a message and was worked on in vain, not by its sender's mistake."""
    failure = outcome.failure
    origin = dead_letter_origin(job, failure)
    if failure and origin:
        await connection.execute(_ADD_JOB, job.id, origin, failure.code, clean(failure.detail), job.attempts)
