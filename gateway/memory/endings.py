"""What the end of a job brings about in memory, and which jobs go when there is no room."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.cache.cache import NullCache
from gateway.jobs.job import Job
from gateway.jobs.objects import input_keys
from gateway.jobs.outbox import MessageMaker, OutboxMessage
from gateway.memory.cache import MemoryCache
from gateway.memory.locks import MemoryArtifactLocks
from gateway.memory.objects import Objects
from gateway.memory.outbox import MemoryOutbox
from gateway.memory.table import JobTable

_FINISHED_KEPT = 10_000


@dataclass(frozen=True)
class Endings:
    """Finished jobs, with all that belongs to them."""

    table: JobTable
    outbox: MemoryOutbox
    photos: Objects
    artifacts: Objects
    cache: MemoryCache | NullCache
    messages_of: MessageMaker
    locks: MemoryArtifactLocks

    def messages(self, job: Job) -> Sequence[OutboxMessage]:
        """What a job's outcome owes to others."""
        return self.messages_of(job, job.outcome) if job.outcome else ()

    def keep(self, job: Job, messages: Sequence[OutboxMessage]) -> None:
        """Keep a job that has its outcome now; its photo goes."""
        self.table.put(job)
        self.outbox.add(job.id, messages)
        self.photos.remove(input_keys(job.request))
        while sum((counts := self.table.finished_counts()).values()) > _FINISHED_KEPT and self._shed(counts):
            pass

    def shed(self) -> bool:
        """Drop the job that ended first of the tenant whose masks take most, with its objects and deliveries.

        Not one whose name is locked, as by the successor of a deleted job. False where there is none to drop.
        """
        return self._shed(self.artifacts.used_by)

    def forget(self, job: Job) -> None:
        """Drop a deleted job whose objects are gone; what is still owed to others is sent all the same."""
        self.cache.forget(str(job.id))
        self.outbox.detach(job.id)
        self.table.forget(job)

    def _shed(self, amounts: Mapping[str, int]) -> bool:
        for tenant in sorted(self.table.finished_counts(), key=lambda tenant: amounts.get(tenant, 0), reverse=True):
            job = next((job for job in self.table.finished(tenant) if not self.locks.is_locked(job.request)), None)
            if job is not None:
                self._remove_artifacts(job)
                self.outbox.forget(job.id)
                self.table.forget(job)
                return True
        return False

    def _remove_artifacts(self, job: Job) -> None:
        """Not those that a later job of the same name has under the same keys, or may be writing as it works."""
        later = self.table.namesake(job.request)
        if job.outcome is None or (later and later.id != job.id and later.outcome is None):
            return
        others = later.outcome.artifacts if later and later.id != job.id and later.outcome else ()
        kept = {artifact.key for artifact in others}
        self.artifacts.remove(artifact.key for artifact in job.outcome.artifacts if artifact.key not in kept)
