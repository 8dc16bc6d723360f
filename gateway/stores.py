"""Everything that keeps something: PostgreSQL and S3, or memory."""

from dataclasses import dataclass

from gateway.jobs.bucket import Bucket
from gateway.jobs.deliveries import Outbox
from gateway.jobs.poison import PoisonBook
from gateway.jobs.signals import Signals
from gateway.jobs.store import JobStore


@dataclass(frozen=True)
class Stores:
    """The stores of one process; `durable` where they outlive it."""

    jobs: JobStore
    outbox: Outbox
    poison: PoisonBook
    photos: Bucket
    artifacts: Bucket
    signals: Signals
    durable: bool
