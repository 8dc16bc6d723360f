"""The ends of jobs in memory: what an outcome brings about, and what goes when there is no room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.cache.null import NullCache
from gateway.jobs.dead_letters import BadMessage
from gateway.jobs.job import Job
from gateway.jobs.objects import input_keys
from gateway.jobs.outbox import MessageMaker, OutboxMessage
from gateway.memory.cache import MemoryCache
from gateway.memory.holds import MemoryHolds
from gateway.memory.outbox import MemoryOutbox
from gateway.memory.poison import PoisonEntries
from gateway.memory.shelf import Shelf
from gateway.memory.table import JobTable, Removal

_FINISHED_KEPT = 10_000


@dataclass(frozen=True)
class Archive:
    """Finished jobs, with all that belongs to them."""

    table: JobTable
    outbox: MemoryOutbox
    poison: PoisonEntries
    photos: Shelf
    artifacts: Shelf
    cache: MemoryCache | NullCache
    announce: MessageMaker
    holds: MemoryHolds

    def announcements(self, job: Job) -> Sequence[OutboxMessage]:
        """What a job's outcome owes to others."""
        return self.announce(job, job.outcome) if job.outcome else ()

    def keep(self, job: Job, deliveries: Sequence[OutboxMessage]) -> None:
        """Keep a job that has its outcome now; its photo goes, unless it may be worked on again."""
        self.table.put(job)
        self.outbox.add(job.id, deliveries)
        failure = job.outcome.failure if job.outcome else None
        if not self.poison.add_job(job, failure):
            self.photos.remove(input_keys(job.request))
        while sum((counts := self.table.finished_counts()).values()) > _FINISHED_KEPT and self._shed(counts):
            pass

    def keep_poison(self, messages: Sequence[BadMessage]) -> None:
        """Keep messages that no job could be made of."""
        for message in messages:
            if self.poison.add_message(message):
                self.outbox.add(None, [message.outbox_message])

    def shed(self) -> bool:
        """Drop the job that ended first of whoever's masks take most, its objects and deliveries; False without one.

        None at whose objects another is: a successor of a deleted job writes under the same keys.
        """
        return self._shed(self.artifacts.used_by)

    def _shed(self, amounts: Mapping[str, int]) -> bool:
        for tenant in sorted(self.table.finished_counts(), key=lambda tenant: amounts.get(tenant, 0), reverse=True):
            job = next((job for job in self.table.finished(tenant) if not self.holds.is_held(job.request)), None)
            if job is not None:
                self._drop(job)
                return True
        return False

    def _drop(self, job: Job) -> None:
        self._remove_artifacts(job)
        self.photos.remove(input_keys(job.request))
        self.outbox.forget(job.id)
        self._forget(job)

    def hide(self, job: Job, now: datetime, removal: Removal) -> None:
        """Let a finished job be one that is being deleted, which nobody replays."""
        self.table.hide(job, now, removal)
        self.poison.forget(job.id)

    def remove(self, job: Job) -> None:
        """Drop a hidden job whose objects are gone; what is still owed to others is sent all the same."""
        self.cache.forget(str(job.id))
        self.outbox.detach(job.id)
        self._forget(job)

    def _forget(self, job: Job) -> None:
        self.table.forget(job)
        self.poison.forget(job.id)

    def _remove_artifacts(self, job: Job) -> None:
        """Those of a later one have the same keys; while it works, it may be writing them."""
        later = self.table.namesake(job.request)
        if job.outcome is None or (later and later.id != job.id and later.outcome is None):
            return
        others = later.outcome.artifacts if later and later.id != job.id and later.outcome else ()
        kept = {artifact.key for artifact in others}
        self.artifacts.remove(artifact.key for artifact in job.outcome.artifacts if artifact.key not in kept)
