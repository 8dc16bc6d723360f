"""From the input topic into the queue."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from gateway.backlog import Backlog
from gateway.jobs.bucket import Bucket, ObjectMissingError
from gateway.jobs.job import Job
from gateway.jobs.keys import photo_key
from gateway.jobs.poison import FROM_KAFKA, PoisonBook, poison_origin
from gateway.jobs.store import JobFilter, JobStore, Poison, Submission
from gateway.kafka.broker import Topic, explained, open_broker
from gateway.kafka.consumer import TopicChangedError, Valve, Watch, joined, make_topics, missing, watching
from gateway.kafka.messages import Arrival, Message, MessageReader, printable
from gateway.kafka.partitions import Partitions, Skipped, Taken, measure_lag
from gateway.logs import get_logger
from gateway.metrics.kafka import KafkaFigures
from gateway.pipelines.pipeline import Pipeline
from gateway.problems import Problem
from gateway.pulse import Pulse, reason_of
from gateway.results import Failure
from gateway.settings import Settings
from gateway.stores import Stores

_PUTS = 8
_MEDIA_TYPE = "application/octet-stream"


class Deposit:
    """Safe to repeat: the same arrivals give the same objects and the same jobs."""

    def __init__(self, jobs: JobStore, photos: Bucket, reader: MessageReader, poison: PoisonBook | None = None) -> None:
        """Without a poison book nothing that was given up begins anew."""
        self._jobs = jobs
        self._photos = photos
        self._reader = reader
        self._poison = poison

    async def keep(self, arrivals: Sequence[Arrival], poison: Sequence[Poison]) -> None:
        """Return when everything is kept. Raises Problem `store_unavailable`, `storage_unavailable`."""
        recalled = [await self._recalled(arrival) for arrival in arrivals]
        poison = [*poison, *(one for one in recalled if isinstance(one, Poison))]
        arrivals = [one for one in recalled if isinstance(one, Arrival)]
        await self._put(arrivals)
        submissions = await self._jobs.submit([arrival.job for arrival in arrivals], poison)
        conflicts = [
            self._conflict(arrival)
            for arrival, submission in zip(arrivals, submissions, strict=True)
            if submission.result == "conflict"
        ]
        if conflicts:
            await self._jobs.submit([], conflicts)
        await self._remove_unused(arrivals, submissions)
        await self._replay(arrivals, submissions)

    async def _recalled(self, arrival: Arrival) -> Arrival | Poison | None:
        """The arrival with the photo that it names, of a message of the same tenant; poison where that is gone.

        None where there is nothing to do with it: a message may come again when its photo has gone with its work.
        """
        if arrival.recalls is None:
            return arrival
        if await self._is_settled(arrival):
            return None
        owner, key = await self._jobs.get(arrival.recalls), photo_key(arrival.recalls)
        if owner and owner.request.tenant == arrival.job.tenant and owner.request.source.startswith(FROM_KAFKA):
            with suppress(ObjectMissingError):
                return arrival.with_photo((await self._photos.get(key)).data)
        detail = f"image: the photo of job {key} is not there any more; send the photo itself"
        return self._reader.poison(arrival.message, Failure("object_missing", detail))

    async def _is_settled(self, arrival: Arrival) -> bool:
        """Whether its job, of its own id or the one whose photo it names, is at work, done or begun anew."""
        asked = arrival.job
        if await self._jobs.get(asked.id) or await self._jobs.deleting(asked.id):
            return True
        named = JobFilter(user_id=asked.user_id, request_id=asked.request_id, tenant=asked.tenant, limit=1)
        for job in await self._jobs.find(named):
            kept = job.request
            same = job.id == arrival.recalls and kept.pipeline == asked.pipeline
            if same and await self._jobs.parameters(job.id) == asked.parameters:
                return await self._begin_anew(job, arrival) if _was_given_up(job) else True
        return False

    async def _replay(self, arrivals: Sequence[Arrival], submissions: Sequence[Submission]) -> None:
        """A request that was given up and is sent again begins anew; the very message that comes again does not."""
        for arrival, submission in zip(arrivals, submissions, strict=True):
            job = submission.job
            if submission.result == "known" and job.id != arrival.job.id and _was_given_up(job):
                await self._begin_anew(job, arrival)

    async def _begin_anew(self, job: Job, arrival: Arrival) -> bool:
        """Once for each message."""
        return self._poison is not None and await self._poison.replay_job(job.id, arrival.job.id)

    async def _put(self, arrivals: Sequence[Arrival]) -> None:
        places = asyncio.Semaphore(_PUTS)

        async def put(key: str, photo: bytes) -> None:
            async with places:
                await self._photos.put(key, photo, _MEDIA_TYPE)

        puts = [put(photo_key(arrival.job.id), arrival.photo) for arrival in arrivals if arrival.photo is not None]
        for result in await asyncio.gather(*puts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _remove_unused(self, arrivals: Sequence[Arrival], submissions: Sequence[Submission]) -> None:
        """The photos of requests that had come before, whose job has a photo of its own."""
        unused = [
            photo_key(arrival.job.id)
            for arrival, submission in zip(arrivals, submissions, strict=True)
            if arrival.photo is not None and submission.job.id != arrival.job.id
        ]
        if unused:
            await self._photos.remove(unused)

    def _conflict(self, arrival: Arrival) -> Poison:
        job = arrival.job
        detail = f"request_id {job.request_id!r} of user {job.user_id!r} came before with other content; send a new id."
        return self._reader.poison(arrival.message, Failure("idempotency_conflict", detail))


def _was_given_up(job: Job) -> bool:
    return job.outcome is not None and poison_origin(job, job.outcome.failure) is not None


MESSAGES_PIPELINE = "body_masks"
"""What a message asks for."""
_POLL_S = 0.5
_BATCH = 100
_GATHER_S = 0.1
"""Between batches: a fetch, a transaction and a commit cost the same for one message as for a hundred."""
_LAG_LIFE_S = 2.0
"""Of paused partitions the broker must be asked, and the embedded one lists a partition's whole log to answer."""


class Ingestion:
    """Reads messages, keeps jobs, and only then commits: what was not kept is delivered again, and does no harm twice.

    `lag` is how many messages are behind, by topic/partition, of the partitions that are this member's; `note` says why
    it has none.
    """

    def __init__(self, settings: Settings, stores: Stores, pipeline: Pipeline, figures: KafkaFigures) -> None:
        self._settings = settings
        self._backlog = Backlog(stores.jobs, settings.queue_max_size)
        self._reader = MessageReader(settings, pipeline)
        self._deposit = Deposit(stores.jobs, stores.photos, self._reader, stores.poison)
        self._figures = figures
        self._log = get_logger("gateway.kafka")
        self.pulse = Pulse("ingestion")
        self.lag: Mapping[str, int] = MappingProxyType({})
        self.note: str | None = None
        self._lag_until = 0.0
        self._topic: Topic | None = None
        self._from_beginning = False

    async def run(self) -> None:
        """Take messages until cancelled; the group is left then. Raises SettingsError."""
        while True:
            try:
                await self._join()
            except TopicChangedError as error:
                self._log.warning(str(error))
                self._topic = error.topic
                self._from_beginning |= error.is_another
            except KafkaError as error:
                self.pulse.fail(f"the broker: {await explained(error, self._settings)}")
                await asyncio.sleep(self.pulse.pause_s)
            finally:
                self._forget()

    async def _join(self) -> None:
        """Be a member of the group until something is wrong. Raises KafkaError.

        A topic that was there is not made: whoever removed it may make it as it should be.
        """
        topic = self._settings.kafka_topic_input
        refused = {} if self._topic else await make_topics(self._settings)
        async with open_broker(self._settings, topic) as broker:
            watch = Watch(self._settings, broker, self._topic)
            await watch.look()
            if watch.trouble:
                why = f"; it cannot be made: {refused[topic]}" if topic in refused else ""
                raise KafkaError(f"{watch.trouble}{why}")
            wanted = watch.topic.partitions if watch.topic else 0
            async with watching(watch), joined(self._settings, wanted) as (consumer, valve):
                if self._from_beginning and consumer.assignment():
                    await consumer.seek_to_beginning(*consumer.assignment())
                self._topic, self._from_beginning = watch.topic, False
                await self._consume(Member(consumer, valve, Partitions(consumer, broker), watch))

    async def _consume(self, member: "Member") -> None:
        while True:
            member.watch.check()
            room = await self._room()
            member.valve.set(room)
            taken = await member.partitions.take(max(1, min(room, _BATCH)), _POLL_S)
            if taken.ends:
                await self._keep(taken)
                await self._commit(member.consumer, taken.ends)
                await asyncio.sleep(_GATHER_S)
            if taken.ends or time.monotonic() >= self._lag_until:
                self.lag = await measure_lag(member.consumer)
                self._lag_until = time.monotonic() + _LAG_LIFE_S
            self._show(member)

    async def _room(self) -> int:
        """Jobs that may still be queued for KAFKA_TENANT; none where the store cannot say."""
        try:
            return await self._backlog.room(self._settings.kafka_tenant)
        except Problem:
            return 0

    def _show(self, member: "Member") -> None:
        """In health, metrics and log: what is wrong, and what this member has."""
        topic, standing = self._settings.kafka_topic_input, member.partitions.standing
        troubles = [*map(str, standing), *([member.watch.trouble] if member.watch.trouble else [])]
        if troubles:
            self.pulse.fail("; ".join(troubles))
        else:
            self.pulse.beat()
        self._say(member.note)
        self._figures.lags(self.lag)
        self._figures.stands((one.partition.topic, one.partition.partition, one.seconds) for one in standing)
        is_there = member.watch.trouble != missing(topic)
        self._figures.membership(topic, is_there=is_there, partitions=len(member.consumer.assignment()))

    def _say(self, note: str | None) -> None:
        if note != self.note:
            self._log.info(note or "this worker has partitions")
        self.note = note

    def _forget(self) -> None:
        """Outside of the group there is nothing to tell."""
        self.lag, self.note = MappingProxyType({}), None
        self._figures.lags({})
        self._figures.stands(())
        self._figures.membership(self._settings.kafka_topic_input, is_there=False, partitions=0)

    async def _keep(self, taken: Taken) -> None:
        """Return when everything is kept; while a store is away, the messages wait here."""
        read = await asyncio.to_thread(self._read, taken.messages)
        arrivals = [one for one in read if isinstance(one, Arrival)]
        poison = [one for one in read if isinstance(one, Poison)] + [self._stepped_over(one) for one in taken.skipped]
        while True:
            try:
                await self._deposit.keep(arrivals, poison)
            except Problem as problem:
                self.pulse.fail(reason_of(problem))
                await asyncio.sleep(self.pulse.pause_s)
            else:
                break
        self._log.info("messages taken", jobs=len(arrivals), poison=len(poison))

    def _read(self, messages: Sequence[Message]) -> list[Arrival | Poison]:
        return [self._read_one(message) for message in messages]

    def _read_one(self, message: Message) -> Arrival | Poison:
        """A message that brings out a bug must not hold up those behind it."""
        try:
            return self._reader.read(message)
        except Exception as error:  # noqa: BLE001
            self._log.error("unexpected error", exc_info=error, origin=message.origin)
            return self._reader.poison(
                message, Failure("internal_error", "An unexpected error; the log has the details.")
            )

    def _stepped_over(self, skipped: Skipped) -> Poison:
        """Poison of what nobody can read."""
        partition, one = skipped.partition, skipped.unreadable
        message = Message(partition.topic, partition.partition, one.offset, 0, one.key, one.value)
        several = f" (offsets {one.offset} to {one.end - 1})" if one.end - one.offset > 1 else ""
        detail = printable(f"Unreadable{several}: {one.reason}")
        self._figures.skipped(partition.topic, 1)
        self._log.error("a record that cannot be read is stepped over", origin=message.origin, reason=detail)
        return self._reader.poison(message, Failure("message_unreadable", detail))

    async def _commit(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> None:
        """Commit what was kept, of the partitions that are still this member's."""
        mine = consumer.assignment()
        offsets = {partition: end for partition, end in ends.items() if partition in mine}
        try:
            if offsets:
                await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            self._log.info(
                "offsets not committed, the group changed; others will see these messages again", why=str(error)
            )


@dataclass(frozen=True)
class Member:
    """This process as a member of the group."""

    consumer: AIOKafkaConsumer
    valve: Valve
    partitions: Partitions
    watch: Watch

    @property
    def note(self) -> str | None:
        """Why there is nothing to do, where there is nothing wrong."""
        if self.valve.assigned is None:
            return "the group shares out its partitions"
        if self.valve.assigned or self.watch.trouble:
            return None
        partitions = self.watch.topic.partitions if self.watch.topic else 0
        return f"this worker has no partition: the topic has {partitions} for all members of the group"
