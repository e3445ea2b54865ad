"""Kafka, and what speaks its protocol (Event Hubs, Confluent Cloud), as an event log.

Belongs here: what is asked of the cluster. Does not: how it is reached (`kafka_client`).

Kafka's timestamps are whole milliseconds, and its retention counts from them.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta

import pyarrow as pa
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import NewTopic, OffsetSpec

from aquifer.errors import AquiferError
from aquifer.eventlog import PARTITIONS, PRODUCED, RETENTION, UnknownTopic
from resources.event_log.batches import BATCH_EVENTS, parts
from resources.event_log.kafka_client import AWAY, PATIENCE, KafkaClient, KafkaFailure, line
from resources.event_log.kafka_reader import MILLISECONDS, TopicReader
from resources.event_log.partitioner import partitions_of

LARGEST_EVENT = 32 * 1024 * 1024
"""Bytes; of this project's topics, and of what is sent at once."""

COMMIT_PATIENCE = timedelta(seconds=10)
"""How long a commit waits for a broker: what is read meanwhile is worth more."""

REQUEST_SECONDS = 5.0
"""How long one question may take before it is asked again."""

QUEUED = 4 * BATCH_EVENTS
"""Events that wait to be sent when more are added, at most."""


class KafkaEventLog:
    """Topics of a Kafka cluster. An object serves the thread, and the process, that made it."""

    def __init__(self, client: KafkaClient) -> None:
        self._client = client
        self._producer: Producer | None = None
        self._readers: dict[str, TopicReader] = {}
        self._partitions: dict[str, list[int]] = {}

    def topics(self) -> Sequence[str]:
        found = self._client.ask(lambda: self._client.admin.list_topics(timeout=1))
        return sorted(name for name in found.topics if not name.startswith("__"))

    def create_topic(
        self, topic: str, partitions: int = PARTITIONS, retention: timedelta = RETENTION
    ) -> None:
        if topic in self.topics():
            return
        wanted = NewTopic(
            topic,
            num_partitions=partitions,
            replication_factor=-1,
            config={
                "retention.ms": str(retention // timedelta(milliseconds=1)),
                "max.message.bytes": str(LARGEST_EVENT),
            },
        )
        try:
            self._client.ask(
                lambda: self._client.admin.create_topics([wanted])[topic].result(REQUEST_SECONDS)
            )
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
        # The brokers learn of it one after the other.
        deadline = self._client.deadline()
        while topic not in self.topics():
            if time.monotonic() > deadline:
                raise self._unknown(topic)

    def begin_offsets(self, topic: str) -> Mapping[int, int]:
        return self._offsets(topic, OffsetSpec.earliest())

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        return self._offsets(topic, OffsetSpec.latest())

    def read(self, topic: str, offsets: Mapping[int, int], limit: int) -> pa.Table:
        ends = self.end_offsets(topic)
        asked = {n: at for n, at in offsets.items() if n in ends}
        if topic not in self._readers:
            self._readers[topic] = TopicReader(self._client, topic)
        with self._naming(topic):
            return self._readers[topic].read(asked, ends, limit)

    def produce(self, topic: str, events: pa.Table) -> None:
        partitions = self._known(topic)
        if not len(events):
            return
        events = events.select(PRODUCED.names).cast(PRODUCED)
        placed = partitions_of(events["key"], len(partitions)).tolist()
        producer = self._sender()
        refused: list[KafkaError] = []
        noted = _collecting(refused)
        done = 0
        for part in parts(events):
            while len(producer) > QUEUED:
                producer.poll(0.01)
            to = placed[done : done + part.num_rows]
            done += part.num_rows
            for key, value, sent, partition in zip(*_plain(part), to, strict=True):
                # `produce_batch` takes no timestamps.
                producer.produce(
                    topic, value, key, partition=partition, timestamp=sent, on_delivery=noted
                )
        left = producer.flush(2 * PATIENCE.total_seconds())
        if refused or left:
            # Nothing may be sent after all when the caller has been told that it was not.
            producer.purge()
            self._producer = None
            raise self._failure(topic, refused)

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        self._known(topic)
        places = [TopicPartition(topic, n, offset) for n, offset in offsets.items()]
        request = [ConsumerGroupTopicPartitions(group, places)]
        admin = self._client.admin

        def commit() -> None:
            futures = admin.alter_consumer_group_offsets(request, request_timeout=REQUEST_SECONDS)
            for place in futures[group].result().topic_partitions:
                if place.error:
                    raise KafkaException(place.error)

        self._client.ask(commit, COMMIT_PATIENCE)

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        places = [TopicPartition(topic, n) for n in self._known(topic)]
        request = [ConsumerGroupTopicPartitions(group, places)]
        admin = self._client.admin

        def committed() -> dict[int, int]:
            futures = admin.list_consumer_group_offsets(request, request_timeout=REQUEST_SECONDS)
            found = futures[group].result().topic_partitions
            return {place.partition: place.offset for place in found if place.offset >= 0}

        return self._client.ask(committed)

    def groups(self, topic: str) -> Sequence[str]:
        self._known(topic)
        listing = self._client.ask(
            lambda: self._client.admin.list_consumer_groups(
                request_timeout=REQUEST_SECONDS
            ).result()
        )
        names = sorted(group.group_id for group in listing.valid)
        return [name for name in names if self.committed(name, topic)]

    def close(self) -> None:
        while self._readers:
            self._readers.popitem()[1].close()
        if self._producer is not None:
            self._producer.close()
            self._producer = None

    def _known(self, topic: str) -> list[int]:
        """The partitions of a topic, as they were when it was first asked for."""
        if topic not in self._partitions:
            found = self._client.ask(lambda: self._client.admin.list_topics(timeout=1)).topics
            if topic not in found:
                raise self._unknown(topic)
            self._partitions[topic] = sorted(found[topic].partitions)
        return self._partitions[topic]

    def _offsets(self, topic: str, spec: OffsetSpec) -> dict[int, int]:
        asked = {TopicPartition(topic, n): spec for n in self._known(topic)}
        admin = self._client.admin

        def offsets() -> dict[int, int]:
            futures = admin.list_offsets(
                asked,
                isolation_level=IsolationLevel.READ_COMMITTED,
                request_timeout=REQUEST_SECONDS,
            )
            return {place.partition: future.result().offset for place, future in futures.items()}

        with self._naming(topic):
            return self._client.ask(offsets)

    def _sender(self) -> Producer:
        if self._producer is None:
            self._producer = self._client.make(
                Producer,
                enable_idempotence=True,
                acks="all",
                compression_type="lz4",
                linger_ms=1,
                message_max_bytes=LARGEST_EVENT,
                delivery_timeout_ms=PATIENCE // timedelta(milliseconds=1),
                delivery_report_only_error=True,
            )
        return self._producer

    def _failure(self, topic: str, refused: Sequence[KafkaError]) -> AquiferError:
        """Why events were not taken."""
        if not refused or refused[0].code() in AWAY | {KafkaError._MSG_TIMED_OUT}:
            return self._client.does_not_answer()
        if refused[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return self._unknown(topic)
        return KafkaFailure(
            f"Kafka at {self._client.servers} refuses {len(refused)} events of {topic}: "
            f"{line(refused[0])}; correct the topic's configuration, or the events"
        )

    def _unknown(self, topic: str) -> UnknownTopic:
        return UnknownTopic(topic, f"Kafka at {self._client.servers}")

    @contextmanager
    def _naming(self, topic: str) -> Iterator[None]:
        """Name a topic that was deleted while it was read."""
        try:
            yield
        except KafkaException as error:
            if error.args[0].code() in (
                KafkaError.UNKNOWN_TOPIC_OR_PART,
                KafkaError._UNKNOWN_TOPIC,
                KafkaError._UNKNOWN_PARTITION,
            ):
                self._partitions.pop(topic, None)
                raise self._unknown(topic) from error
            raise


def _plain(events: pa.RecordBatch) -> tuple[list[bytes | None], list[bytes | None], list[int]]:
    """Keys, values and timestamps in milliseconds."""
    milliseconds = events["timestamp"].cast(MILLISECONDS, safe=False).cast(pa.int64())
    return events["key"].to_pylist(), events["value"].to_pylist(), milliseconds.to_pylist()


def _collecting(refused: list[KafkaError]) -> Callable[[KafkaError, Message], None]:
    return lambda error, _: refused.append(error)
