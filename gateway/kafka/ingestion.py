"""Takes messages from the input topic into the queue."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from gateway.errors import Problem
from gateway.jobs.dead_letters import FROM_KAFKA, BadMessage, DeadLetters, dead_letter_origin
from gateway.jobs.job import Job
from gateway.jobs.objects import Bucket, ObjectMissingError, photo_key
from gateway.jobs.store import JobFilter, JobStore, Submission
from gateway.kafka.batches import Unreadable
from gateway.kafka.broker import Topic, explained, open_broker
from gateway.kafka.consumer import FlowControl, TopicChangedError, Watch, joined, make_topics, missing
from gateway.kafka.messages import Arrival, Message, MessageReader, without_control_characters
from gateway.kafka.partitions import Partitions, Taken, measure_lag
from gateway.limits.admission import Backlog
from gateway.logs import get_logger
from gateway.metrics.instruments import Instruments, TaskMetrics
from gateway.pipelines.registry import Pipeline
from gateway.results import Failure
from gateway.settings import Settings
from gateway.stores import Stores
from gateway.supervision import Heartbeat, reason_of

MESSAGES_PIPELINE = "body_masks"
"""The pipeline of all messages."""
_POLL_S = 0.5
_BATCH = 100
_GATHER_S = 0.1
"""The pause between batches: a fetch, a transaction and a commit cost the same for one message as for a hundred."""
_LAG_LIFE_S = 2.0
"""How long a measured lag is good: the embedded broker lists the whole log of a paused partition to answer."""
_PUTS = 8
_MEDIA_TYPE = "application/octet-stream"


class Ingestion:
    """Reads messages, keeps jobs, and commits only then: what was not kept is delivered again, and does no harm twice.

    `lag` is how many messages are behind, by topic/partition, of this member's partitions; `note` says why it has none.
    """

    def __init__(self, settings: Settings, stores: Stores, pipeline: Pipeline, instruments: Instruments) -> None:
        self._settings = settings
        self._backlog = Backlog(stores.jobs, settings.queue_max_size)
        self._reader = MessageReader(settings, pipeline)
        self._arrivals = ArrivalStore(stores.jobs, stores.photos, self._reader, instruments.tasks, stores.dead_letters)
        self._metrics = instruments.kafka
        self._log = get_logger("gateway.kafka")
        self.heartbeat = Heartbeat("ingestion")
        self.lag: Mapping[str, int] = MappingProxyType({})
        self.note: str | None = None
        self._lag_until = 0.0
        self._topic: Topic | None = None
        self._from_beginning = False

    async def run(self) -> None:
        """Take messages until cancelled; then leave the group. Raises SettingsError."""
        while True:
            try:
                await self._join()
            except TopicChangedError as error:
                self._log.warning(str(error))
                self._topic = error.topic
                self._from_beginning |= error.is_another
            except KafkaError as error:
                self.heartbeat.fail(f"the broker: {await explained(error, self._settings)}")
                await asyncio.sleep(self.heartbeat.pause_s)
            finally:
                self._forget()

    async def _join(self) -> None:
        """Be a member of the group until something is wrong. Raises KafkaError.

        A topic that existed before is not made again: whoever removed it may want to make it.
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
            async with watch.running(), joined(self._settings, wanted) as (consumer, flow):
                if self._from_beginning and consumer.assignment():
                    await consumer.seek_to_beginning(*consumer.assignment())
                self._topic, self._from_beginning = watch.topic, False
                await self._consume(Member(consumer, flow, Partitions(consumer, broker), watch))

    async def _consume(self, member: "Member") -> None:
        while True:
            member.watch.check()
            room = await self._room()
            member.flow.update(room)
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
        """How many more jobs may be queued for KAFKA_TENANT; none if the store cannot say."""
        try:
            return await self._backlog.room(self._settings.kafka_tenant)
        except Problem:
            return 0

    def _show(self, member: "Member") -> None:
        """Tell health, metrics and log what is wrong, and what this member has."""
        topic, standing = self._settings.kafka_topic_input, member.partitions.standing
        troubles = [*map(str, standing), *([member.watch.trouble] if member.watch.trouble else [])]
        if troubles:
            self.heartbeat.fail("; ".join(troubles))
        else:
            self.heartbeat.beat()
        if member.note != self.note:
            self._log.info(member.note or "this worker has partitions")
        self.note = member.note
        self._metrics.lags(self.lag)
        self._metrics.stands((one.partition.topic, one.partition.partition, one.seconds) for one in standing)
        is_there = member.watch.trouble != missing(topic)
        self._metrics.membership(topic, is_there=is_there, partitions=len(member.consumer.assignment()))

    def _forget(self) -> None:
        """Outside of the group there is nothing to show."""
        self.lag, self.note = MappingProxyType({}), None
        self._metrics.lags({})
        self._metrics.stands(())
        self._metrics.membership(self._settings.kafka_topic_input, is_there=False, partitions=0)

    async def _keep(self, taken: Taken) -> None:
        """Return when everything is kept; while a store is away, the messages wait here."""
        read = await asyncio.to_thread(lambda: [self._read(message) for message in taken.messages])
        arrivals = [one for one in read if isinstance(one, Arrival)]
        unreadable = [self._unreadable(partition, one) for partition, one in taken.skipped]
        dead_letters = [*(one for one in read if isinstance(one, BadMessage)), *unreadable]
        while True:
            try:
                await self._arrivals.keep(arrivals, dead_letters)
            except Problem as problem:
                self.heartbeat.fail(reason_of(problem))
                await asyncio.sleep(self.heartbeat.pause_s)
            else:
                break
        self._log.info("messages taken", jobs=len(arrivals), poison=len(dead_letters))

    def _read(self, message: Message) -> Arrival | BadMessage:
        """A message that triggers a bug must not hold up those behind it."""
        try:
            return self._reader.read(message)
        except Exception as error:  # noqa: BLE001
            self._log.error("unexpected error", exc_info=error, origin=message.origin)
            failure = Failure("internal_error", "An unexpected error; the log has the details.")
            return self._reader.dead_letter(message, failure)

    def _unreadable(self, partition: TopicPartition, one: Unreadable) -> BadMessage:
        message = Message(partition.topic, partition.partition, one.offset, 0, one.key, one.value)
        several = f" (offsets {one.offset} to {one.end - 1})" if one.end - one.offset > 1 else ""
        detail = without_control_characters(f"Unreadable{several}: {one.reason}")
        self._metrics.skipped(partition.topic, 1)
        self._log.error("a record that cannot be read is stepped over", origin=message.origin, reason=detail)
        return self._reader.dead_letter(message, Failure("message_unreadable", detail))

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
    flow: FlowControl
    partitions: Partitions
    watch: Watch

    @property
    def note(self) -> str | None:
        """Why there is nothing to do although nothing is wrong."""
        if self.flow.assigned is None:
            return "the group shares out its partitions"
        if self.flow.assigned or self.watch.trouble:
            return None
        partitions = self.watch.topic.partitions if self.watch.topic else 0
        return f"this worker has no partition: the topic has {partitions} for all members of the group"


class ArrivalStore:
    """Keeps what arrived: photos first, then jobs and dead letters in one transaction.

    It is safe to repeat: the same arrivals give the same objects and the same jobs.
    """

    def __init__(
        self, jobs: JobStore, photos: Bucket, reader: MessageReader, metrics: TaskMetrics, dead_letters: DeadLetters
    ) -> None:
        self._jobs = jobs
        self._photos = photos
        self._reader = reader
        self._metrics = metrics
        self._dead_letters = dead_letters

    async def keep(self, arrivals: Sequence[Arrival], dead_letters: Sequence[BadMessage]) -> None:
        """Return when everything is kept. Raises Problem `store_unavailable`, `storage_unavailable`."""
        recalled = [await self._recalled(arrival) for arrival in arrivals]
        dead_letters = [*dead_letters, *(one for one in recalled if isinstance(one, BadMessage))]
        arrivals = [one for one in recalled if isinstance(one, Arrival)]
        await self._put(arrivals)
        submissions = await self._jobs.submit([arrival.job for arrival in arrivals], dead_letters)
        self._metrics.submitted(submissions)
        both = list(zip(arrivals, submissions, strict=True))
        if conflicts := [self._conflict(arrival) for arrival, submission in both if submission.result == "conflict"]:
            await self._jobs.submit([], conflicts)
        if unused := [
            photo_key(arrival.job.id) for arrival, submission in both if _is_photo_unused(arrival, submission)
        ]:
            await self._photos.remove(unused)
        for arrival, submission in both:
            if _is_sent_again(arrival, submission):
                await self._dead_letters.replay_job(submission.job.id, arrival.job.id)

    async def _recalled(self, arrival: Arrival) -> Arrival | BadMessage | None:
        """The arrival with the photo that it names by the id of an earlier message of its tenant.

        A dead letter if the photo is gone; None if there is nothing to do, as the message came again after its work.
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
        return self._reader.dead_letter(arrival.message, Failure("object_missing", detail))

    async def _is_settled(self, arrival: Arrival) -> bool:
        """Whether the arrival's job, or the job whose photo it names, is known; one that was given up begins anew."""
        asked = arrival.job
        if await self._jobs.get(asked.id) or await self._jobs.deleting(asked.id):
            return True
        named = JobFilter(user_id=asked.user_id, request_id=asked.request_id, tenant=asked.tenant, limit=1)
        for job in await self._jobs.find(named):
            is_same = job.id == arrival.recalls and job.request.pipeline == asked.pipeline
            if is_same and await self._jobs.parameters(job.id) == asked.parameters:
                return not _was_given_up(job) or await self._dead_letters.replay_job(job.id, asked.id)
        return False

    async def _put(self, arrivals: Sequence[Arrival]) -> None:
        places = asyncio.Semaphore(_PUTS)

        async def put(key: str, photo: bytes) -> None:
            async with places:
                await self._photos.put(key, photo, _MEDIA_TYPE)

        puts = [put(photo_key(arrival.job.id), arrival.photo) for arrival in arrivals if arrival.photo is not None]
        for result in await asyncio.gather(*puts, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    def _conflict(self, arrival: Arrival) -> BadMessage:
        job = arrival.job
        detail = f"request_id {job.request_id!r} of user {job.user_id!r} came before with other content; send a new id."
        return self._reader.dead_letter(arrival.message, Failure("idempotency_conflict", detail))


def _is_photo_unused(arrival: Arrival, submission: Submission) -> bool:
    """Whether the request came before, so that its job has the photo that came then."""
    return arrival.photo is not None and submission.job.id != arrival.job.id


def _is_sent_again(arrival: Arrival, submission: Submission) -> bool:
    """Whether a request that was given up came in another message; a message that is only delivered again is not."""
    return submission.result == "known" and submission.job.id != arrival.job.id and _was_given_up(submission.job)


def _was_given_up(job: Job) -> bool:
    return job.outcome is not None and dead_letter_origin(job, job.outcome.failure) is not None
