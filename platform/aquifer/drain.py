"""The drain: events of a log on their way through bronze and silver to gold, until none is left.

Belongs here: which table is advanced when. Does not: how (each table's own `advance`, which its
asset runs, too), and what is made from these tables (`downstream`).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from aquifer.eventlog import EventReader
from aquifer.flow import Flow
from aquifer.lake import NOTHING
from aquifer.loops import Loop
from aquifer.quarantine import quarantine_name
from aquifer.silver_table import SilverTable

BRONZE_PACE = 0.25
"""Seconds from one commit of bronze to the next; each is a file, and a version of its table."""

SILVER_PACE = 0.5
GOLD_PACE = 1.0
"""A step takes about as long, however few events it finds: oftener, and they would only wait for a
processor."""

WHOLE_SECONDS = 30.0
"""How often a gold table to which events are appended is built whole, while that is quick."""

WHOLE_SHARE = 1 / 50
"""The share of time that this takes at most, in which no event is appended.

It writes anew the files with lines that were voided or replaced, more of them the more events come;
then it follows more seldom."""


@dataclass(kw_only=True)
class Drain(Flow):
    """The way of events from a log to gold.

    Args:
        reading: opens what the bronze tables read, for one thread.
    """

    reading: Callable[[], AbstractContextManager[EventReader]]
    _log: EventReader = field(init=False)
    _ends: dict[str, Mapping[int, int]] = field(default_factory=dict)
    _unbuilt: set[str] = field(init=False)
    """Gold tables to which was appended since they were built whole."""

    def __post_init__(self) -> None:
        # A drain that was killed may have left them so.
        self._unbuilt = {*self._appended}
        for name in self._appended:
            self._begin(name, WHOLE_SECONDS)

    def loops(self) -> list[Loop]:
        return [
            Loop("bronze", self._bronze, BRONZE_PACE, within=self._logged),
            Loop("silver", self._silver, SILVER_PACE),
            Loop("gold", self._gold, GOLD_PACE),
        ]

    def lag(self) -> dict[str, int]:
        with self.reading() as log:
            return {table.reads.name: table.reads.lag(self._lake, log) for table in self.tables}

    @contextmanager
    def _logged(self) -> Iterator[None]:
        with self.reading() as self._log:
            yield

    def prepare(self, silver: Sequence[SilverTable]) -> None:
        """Make what gold's tables read exist, if only empty: it may come later than events.

        Args:
            silver: every silver table.
        """
        names = {name for table in self._appended for name in self.gold.reads(table) - {table}}
        if any(not self._lake.exists(name) for name in names):
            for table in silver:
                table.ensure(self._lake)
        # One that a killed drain has begun exists, but has recorded nothing.
        gold = sorted(names & self.gold.contracts.keys())
        if unbuilt := [name for name in gold if self._lake.seq(name) == NOTHING]:
            self._build(unbuilt)

    def _bronze(self, last: bool) -> bool:
        found = False
        for table in self.tables:
            ends = self._log.end_offsets(table.reads.topic)
            if ends != self._ends.get(table.name):
                found |= self._added(table.reads.advance(self._lake, self._log))
                self._ends[table.name] = ends
        return found

    def _silver(self, last: bool) -> bool:
        found = False
        for table in self.tables:
            due = last or self._is_due(table.name)
            if due and self._lake.lags(table.name, table.reads.name):
                self._begin(table.name, table.every.total_seconds())
                found |= self._added(table.advance(self.runtime), quarantine_name(table.name))
        return found

    def _gold(self, last: bool) -> bool:
        behind = [name for name in self._appended if self._lacks_rows(name)]
        if behind:
            self._build(behind, appending=self._events)
            self._unbuilt |= {*behind}
            for name in behind:
                self._written(name)
        due = [name for name in sorted(self._unbuilt) if last or self._is_due(name)]
        for name in due:
            begun = time.monotonic()
            self._unbuilt.remove(name)
            self._build([name], tested_later=True)
            took = time.monotonic() - begun
            self._begin(name, max(WHOLE_SECONDS, took / WHOLE_SHARE))
        return bool(behind or due)

    @cached_property
    def _appended(self) -> list[str]:
        """The gold tables that follow at once."""
        return self.gold.appended(self._events)

    def _lacks_rows(self, name: str) -> bool:
        """Whether a gold table has yet to append rows of one of the streams."""
        appended = self.gold.appended_to(self._lake, name)
        streams = appended.keys() & {*self._events}
        return any(self._lake.seq(stream) > appended[stream] for stream in streams)
