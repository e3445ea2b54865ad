"""Reading one topic of a Kafka cluster from offsets that the caller keeps.

Belongs here: a consumer that is told where to stand. Does not: groups and topics (`kafka`).
"""

import time
from collections.abc import Mapping, Sequence

import pyarrow as pa
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from aquifer.eventlog import EVENTS, READ_BYTES
from resources.event_log.batches import from_offsets
from resources.event_log.kafka_client import AWAY, KafkaClient

CONSUMED_AT_ONCE = 10_000

CONSUMED_WITHIN_SECONDS = 0.02
"""How long a consumer waits for as many as it is asked for. There may be fewer: between two offsets
stand the marks of transactions, of which Kafka Connect leaves one after every few events."""

QUIET_SECONDS = 1
"""After how long without an event a reader makes do with those that have come."""

MILLISECONDS = pa.timestamp("ms", "UTC")


class TopicReader:
    """A consumer of one topic. While reads follow each other, it keeps what it has fetched."""

    def __init__(self, client: KafkaClient, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._stands: Mapping[int, int] | None = None
        self._consumer: Consumer = client.make(
            Consumer,
            group_id="aquifer",
            enable_auto_commit=False,
            enable_auto_offset_store=False,
            # Of events that retention has deleted meanwhile: on with the oldest there is.
            auto_offset_reset="earliest",
            enable_partition_eof=True,
            fetch_wait_max_ms=100,
            fetch_queue_backoff_ms=10,
        )

    def read(self, offsets: Mapping[int, int], ends: Mapping[int, int], limit: int) -> pa.Table:
        """Events from the offsets on and before the ends; see `EventReader.read`."""
        waiting = sum(max(0, ends[partition] - at) for partition, at in offsets.items())
        if not waiting:
            return EVENTS.empty_table()
        # Beyond the end there is nowhere to stand; what comes before an offset is passed over.
        position = {partition: min(at, ends[partition]) for partition, at in offsets.items()}
        if position != self._stands:
            self._consumer.assign(
                [TopicPartition(self._topic, partition, at) for partition, at in position.items()]
            )
        self._stands = None
        messages = self._consume(position, ends, min(limit, waiting))
        self._stands = position
        return from_offsets(_table(messages), offsets) if messages else EVENTS.empty_table()

    def close(self) -> None:
        self._consumer.close()

    def _consume(
        self, position: dict[int, int], ends: Mapping[int, int], wanted: int
    ) -> list[Message]:
        """The messages there are, so many at most; `position` is moved past them."""
        messages: list[Message] = []
        size = 0
        deadline = self._client.deadline()
        last = 0.0
        while (
            len(messages) < wanted
            and size < READ_BYTES
            and any(at < ends[partition] for partition, at in position.items())
        ):
            some = self._consumer.consume(
                min(wanted - len(messages), CONSUMED_AT_ONCE), CONSUMED_WITHIN_SECONDS
            )
            for message in some:
                if error := message.error():
                    self._note(error, message, position, deadline)
                else:
                    messages.append(message)
                    size += len(message.value() or b"")
                    position[message.partition()] = message.offset() + 1
            now = time.monotonic()
            if some:
                last = now
            elif messages and now > last + QUIET_SECONDS:
                break
            elif now > deadline:
                raise self._client.does_not_answer()
        return messages

    def _note(
        self, error: KafkaError, message: Message, position: dict[int, int], deadline: float
    ) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            # Before the end there may be offsets without an event: the marks of transactions.
            position[message.partition()] = message.offset()
        elif error.code() in AWAY:
            self._client.wait(error, deadline)
        else:
            raise KafkaException(error)


def _table(messages: Sequence[Message]) -> pa.Table:
    sent = [message.timestamp()[1] for message in messages]
    return pa.table(
        [
            pa.array([message.partition() for message in messages], pa.int64()),
            pa.array([message.offset() for message in messages], pa.int64()),
            pa.array([message.key() for message in messages], pa.binary()),
            pa.array([message.value() for message in messages], pa.binary()),
            pa.array(sent, pa.int64()).cast(MILLISECONDS).cast(EVENTS.field("timestamp").type),
        ],
        schema=EVENTS,
    )
