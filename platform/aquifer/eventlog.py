"""The event log: topics of ordered, partitioned events that are read from an offset.

Belongs here: the interface that every event log has, be it an outbox table or a broker. Does not:
an implementation (`resources`), and what an event means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """One event. Its offset is its place in the partition; offsets grow, and may have gaps."""

    topic: str
    partition: int
    offset: int
    key: str
    value: str
    timestamp: datetime


class EventLog(Protocol):
    """The reading side of an event log."""

    def topics(self) -> Sequence[str]:
        """Names of the topics, sorted."""
        ...

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        """For each partition, the offset that the next event will have."""
        ...

    def read(self, topic: str, partition: int, offset: int, limit: int) -> list[Event]:
        """Up to `limit` events from `offset` on, in order."""
        ...
