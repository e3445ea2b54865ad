"""The stream: every slot's event as the event log takes it, in slices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

import pyarrow as pa

from aquifer.errors import SettingError
from aquifer.eventlog import PRODUCED
from aquifer.instants import instant, micros
from resources.simulation.streams.catalogue import Catalogue
from resources.simulation.streams.dirt import DIRTY, REPEATS, Dirt, damaged, kind
from resources.simulation.streams.openloop import SHARES, TopicSlots, open_loop
from resources.simulation.streams.scenarios import Scenario, scenario_named
from resources.simulation.streams.things import Things
from resources.simulation.streams.tills import Tills
from resources.simulation.streams.verdicts import TOPIC as VERDICTS
from resources.simulation.streams.verdicts import Verdicts
from resources.simulation.streams.web import Sessions

TILLS = "pos.events"
SLICE = timedelta(milliseconds=50)


class Source(Protocol):
    """The events of a topic, before anything goes wrong."""

    def throw(self, k: int) -> tuple[int, ...]:
        """The 16 random numbers of the k-th event; the last decides what goes wrong with it."""
        ...

    def linked(self, k: int) -> bool:
        """Whether other events are tied to the k-th, so that nothing may go wrong with it."""
        ...

    def event(self, k: int, numbers: tuple[int, ...]) -> tuple[str, str]:
        """Key and value of the k-th event."""
        ...


@dataclass(frozen=True)
class Batch:
    """A slice of the stream."""

    slots: range
    events: Mapping[str, pa.Table]
    """By topic, with the columns of `PRODUCED`; topics without events are left out."""


class EventStream:
    """The stream of a seed, start and rate.

    Args:
        seed: any number.
        start: when the first event is sent.
        rate: events a second, over all topics.
        topics: those that take part and share the rate; none named: all.
        clean: leave out what is sent again or contradicted, and send what would arrive broken as
            it was meant. Late events and wrong clocks stay.
        fraud: the scenario of what is committed at the tills, on which there are verdicts then;
            None: without.
    """

    def __init__(
        self,
        seed: int,
        start: datetime,
        rate: float,
        catalogue: Catalogue,
        topics: Sequence[str] = (),
        *,
        clean: bool = False,
        fraud: str | None = None,
    ) -> None:
        self._loop = open_loop(start, rate, topics)
        self._clean = clean
        identity = f"{seed}/{self._loop.start_us}/{self._loop.step_us}"
        self._slots = {
            topic: TopicSlots(self._loop, topic) for topic in SHARES if topic in self._loop.turns
        }
        committed = scenario_named(fraud)
        self._sources = {
            topic: _source(topic, identity, slots, catalogue, committed)
            for topic, slots in self._slots.items()
        }
        self._verdicts = None
        if committed.fraud:
            tills = self._sources.get(TILLS)
            if not isinstance(tills, Tills):
                raise SettingError(f"fraud is committed at the tills; let {TILLS} take part")
            self._verdicts = Verdicts(identity, tills, self._slots[TILLS])

    def due(self, now: datetime) -> int:
        """How many slots are due at an instant."""
        return self._loop.due(micros(now))

    def slots(self, length: timedelta) -> int:
        """How many slots so long a time takes."""
        # The instant itself belongs to what comes after.
        return self.due(self.due_at(0) + length - timedelta(microseconds=1))

    def due_at(self, slot: int) -> datetime:
        """When a slot is due."""
        return instant(self._loop.due_us(slot))

    def batch(self, first: int, last: int) -> Batch:
        """The events of the slots from the first to before the last."""
        tables = {}
        for topic, slots in self._slots.items():
            table = self._table(topic, range(slots.before(first), slots.before(last)))
            if table.num_rows:
                tables[topic] = table
        if self._verdicts:
            slots = self._slots[TILLS]
            table = self._verdicts.sent_with(range(slots.before(first), slots.before(last)))
            if table.num_rows:
                tables[VERDICTS] = table
        return Batch(range(first, last), tables)

    def batches(self, width: timedelta = SLICE, slots: int | None = None) -> Iterator[Batch]:
        """The first slots, or all, in slices of time; those without events are left out."""
        first = slices = 0
        while slots is None or first < slots:
            slices += 1
            due = self.slots(slices * width)
            last = due if slots is None else min(due, slots)
            if last > first:
                yield self.batch(first, last)
            first = last

    def dirt(self, topic: str, ks: range) -> Iterator[Dirt | None]:
        """What happens to some of a topic's events, counted by themselves; None: nothing."""
        source = self._sources[topic]
        for k in ks:
            yield self._kind(topic, k, source.throw(k))

    def _table(self, topic: str, ks: range) -> pa.Table:
        source, due_us = self._sources[topic], self._slots[topic].due_us
        keys, values, timestamps = [], [], []
        for k in ks:
            numbers = source.throw(k)
            what = self._kind(topic, k, numbers) if numbers[15] < DIRTY else None
            if what is None:
                key, text = source.event(k, numbers)
                value = text.encode()
            elif not self._clean:
                key, value = self._dirty(what, topic, k, numbers)
            elif what in REPEATS:
                continue
            else:
                key, text = source.event(k, numbers)
                value = text.encode()
            keys.append(key.encode())
            values.append(value)
            timestamps.append(due_us(k))
        return pa.table([keys, values, timestamps], schema=PRODUCED)

    def _kind(self, topic: str, k: int, numbers: tuple[int, ...]) -> Dirt | None:
        if numbers[15] >= DIRTY or self._sources[topic].linked(k):
            return None
        what = kind(numbers[15])
        return None if what in REPEATS and self._repeated(what, topic, k, numbers) is None else what

    def _dirty(self, what: Dirt, topic: str, k: int, numbers: tuple[int, ...]) -> tuple[str, bytes]:
        source = self._sources[topic]
        earlier = self._repeated(what, topic, k, numbers) if what in REPEATS else None
        if earlier is not None:
            k, numbers = earlier, source.throw(earlier)
        key, text = source.event(k, numbers)
        if what in (Dirt.repeated, Dirt.repeated_late):
            return key, text.encode()
        return damaged(what, key, text, Random(numbers[0]))

    def _repeated(self, what: Dirt, topic: str, k: int, numbers: tuple[int, ...]) -> int | None:
        """The earlier event that is sent instead of the k-th: one that arrived as it was meant."""
        least, most = (self._slots[topic].within(seconds) for seconds in REPEATS[what])
        earlier = k - least - numbers[12] % (most - least + 1)
        while earlier >= 0 and self._sources[topic].throw(earlier)[15] < DIRTY:
            earlier -= 1
        return earlier if earlier >= 0 else None


def _source(
    topic: str, identity: str, slots: TopicSlots, catalogue: Catalogue, scenario: Scenario
) -> Source:
    if topic == TILLS:
        return Tills(identity, slots, catalogue, scenario)
    if topic == "iot.readings":
        return Things(identity, slots, catalogue)
    if topic == "web.events":
        return Sessions(identity, slots, catalogue, ["desktop", "phone", "tablet"], "w")
    return Sessions(identity, slots, catalogue, ["ios", "android"], "m")
