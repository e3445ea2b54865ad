"""Events of logs as tests look at them: as text, one by one."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from aquifer.eventlog import EventReader


class Event(NamedTuple):
    """An event of text as it is read from a log."""

    partition: int
    offset: int
    key: str
    value: str
    timestamp: datetime


def events(
    log: EventReader,
    topic: str,
    offsets: Mapping[int, int] | None = None,
    limit: int = 1_000_000,
) -> list[Event]:
    """What one read of a topic gives, from its beginning unless it is said from where on."""
    if offsets is None:
        offsets = dict.fromkeys(log.end_offsets(topic), 0)
    return [
        Event(partition, offset, key.decode(), value.decode(), timestamp)
        for partition, offset, key, value, timestamp in (
            row.values() for row in log.read(topic, offsets, limit).to_pylist()
        )
    ]
