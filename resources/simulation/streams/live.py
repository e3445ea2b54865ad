"""Sending the stream live: each slot when it is due, and at once what is overdue."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pyarrow as pa

from aquifer.eventlog import EventLog
from resources.simulation.streams.stream import EventStream

TICK_SECONDS = 0.05
"""How long the sender waits before it looks again what is due; so much fills a batch."""

MOST_AT_ONCE = 20_000
"""Slots of one batch: what memory holds when much is overdue."""


Encoded = Callable[[str, pa.Table], pa.Table]
"""Writes the events of a topic in another format."""


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """The present, in UTC."""
        ...

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        ...


class WallClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def wait(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Sent:
    """What was sent."""

    slots: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """By topic."""
    behind: timedelta = timedelta(0)
    """The longest time from when an event was due to when the log had it."""


def send(
    stream: EventStream,
    log: EventLog,
    slots: int | None,
    ended: Callable[[], bool],
    clock: Clock,
    encoded: Encoded | None = None,
) -> Sent:
    """Send the first slots, or all, until asked to end.

    Args:
        slots: how many; None: without end.
        ended: whether to end now. What is being sent is sent.
        encoded: None: as JSON.
    """
    sent = Sent()
    while not ended() and (slots is None or sent.slots < slots):
        due = stream.due(clock.now())
        last = min(due, sent.slots + MOST_AT_ONCE, *([] if slots is None else [slots]))
        if last > sent.slots:
            _send(stream, log, last, sent, clock, encoded)
        if last == due:
            clock.wait(TICK_SECONDS)
    return sent


def _send(
    stream: EventStream,
    log: EventLog,
    last: int,
    sent: Sent,
    clock: Clock,
    encoded: Encoded | None,
) -> None:
    """Send what was not sent before a slot."""
    batch = stream.batch(sent.slots, last)
    for topic, events in batch.events.items():
        log.produce(topic, encoded(topic, events) if encoded else events)
        sent.events[topic] += events.num_rows
    sent.behind = max(sent.behind, clock.now() - stream.due_at(sent.slots))
    sent.slots = last
