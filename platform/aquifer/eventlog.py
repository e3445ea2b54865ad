"""The event log: topics of ordered, partitioned events that are read from an offset.

Belongs here: the interface that every event log has, be it an outbox table or a broker. Does not:
an implementation (`resources`), and what an event means. Batches cross it, never single events:
hundreds of thousands of them pass in a second.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Protocol, runtime_checkable

import pyarrow as pa

from aquifer.errors import AquiferError

PRODUCED = pa.schema(
    [
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("timestamp", pa.timestamp("us", "UTC")),
    ]
)
"""An event as it is produced: key and value may be null; the timestamp is the producer's."""

EVENTS = pa.schema(
    [pa.field("partition", pa.int64()), pa.field("offset", pa.int64()), *PRODUCED],
)
"""An event as it is read. Its offset is its place in the partition; offsets grow."""

PARTITIONS = 10
"""How many partitions a topic has unless it is created with another number."""

RETENTION = timedelta(days=7)
"""How long a topic keeps its events unless it is created with another time."""

READ_BYTES = 256 * 1024 * 1024
"""About how much one read returns at most, however few events that is."""


class UnknownTopic(AquiferError):
    """A topic does not exist."""

    def __init__(self, topic: str, log: str) -> None:
        super().__init__(
            f"there is no topic '{topic}' in {log}; create it there, or correct its name "
            "(`aquifer topics` lists those there are)"
        )


class EventReader(Protocol):
    """The reading side of an event log. A reader serves one thread.

    Raises:
        UnknownTopic: by everything that takes a topic, for one that does not exist.
    """

    def topics(self) -> Sequence[str]:
        """Names of the topics, sorted."""
        ...

    def begin_offsets(self, topic: str) -> Mapping[int, int]:
        """For each partition, the offset of the oldest event that retention has left."""
        ...

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        """For each partition, the offset that the next event will have."""
        ...

    def read(self, topic: str, offsets: Mapping[int, int], limit: int) -> pa.Table:
        """Events of the partitions named, of each from its offset on and in order, as `EVENTS`.

        At most about `limit` events and `READ_BYTES` bytes, fairly from all partitions; none only
        when there is none. An offset before the oldest event means the oldest.
        """
        ...


@runtime_checkable
class EventLog(EventReader, Protocol):
    """An event log that is also written, and that keeps how far groups of consumers have come."""

    def create_topic(
        self, topic: str, partitions: int = PARTITIONS, retention: timedelta = RETENTION
    ) -> None:
        """Create a topic; one that exists stays as it is."""
        ...

    def produce(self, topic: str, events: pa.Table) -> None:
        """Append events, as `PRODUCED`; on return they are durable.

        The key decides the partition, by Kafka's own hash; events without a key are spread. Of one
        partition, events stand in the order of the table.
        """
        ...

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Record that a group has taken in what is before these offsets.

        Raises:
            PassingError: it is not recorded, which the next commit makes up for.
        """
        ...

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        """The offsets that a group has committed; no partition of which it has committed none."""
        ...

    def groups(self, topic: str) -> Sequence[str]:
        """The groups that have committed offsets of a topic, sorted."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...


def lag(log: EventLog, group: str, topic: str) -> int:
    """How many events of a topic a group has yet to take in."""
    committed, begins = log.committed(group, topic), log.begin_offsets(topic)
    return sum(
        max(0, end - max(committed.get(partition, 0), begins[partition]))
        for partition, end in log.end_offsets(topic).items()
    )
