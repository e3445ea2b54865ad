"""The drain: events of a log on their way through bronze, silver and gold, until none is left.

Belongs here: which table is advanced when. Does not: how (each table's own `advance`, which its
asset runs, too), how the loops run (`loops`), what Dagster is told of it (`drain_report`).
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock
from typing import Any

from aquifer.advance import Advance
from aquifer.dbt_project import failure, is_test
from aquifer.errors import PassingError
from aquifer.eventlog import EventReader
from aquifer.gold import Gold
from aquifer.lake import Lake
from aquifer.loops import Loop
from aquifer.quarantine import quarantine_name
from aquifer.runtime import Runtime
from aquifer.silver_events import EventTable
from aquifer.silver_table import SilverTable
from aquifer.stream_table import StreamTable

BRONZE_PACE = 0.25
"""Seconds from one commit of bronze to the next; each is a file, and a version of its table."""

SILVER_PACE = 0.75
GOLD_PACE = 0.75
"""A step takes about as long, however few events it finds: oftener, and they would only wait for a
processor."""

STREAM_PACE = 1.0
MARTS_SECONDS = 30.0
"""How often marts and the tests that look at more than new rows follow, while they are quick."""

MARTS_SHARE = 1 / 3
STREAM_SHARE = 1 / 10
"""The share of time that marts and each stream table take at most: they recompute whole groups, and
would leave ever less to new rows as a day goes on. They follow more seldom instead."""

COMMITS_PER_COMPACTION = 100


class GoldFailed(PassingError):
    """A model could not be built."""


@dataclass
class Tally:
    """What advances came to since it was last asked; several threads may add and ask."""

    _advances: dict[str, Advance] = field(default_factory=dict)
    _built: dict[str, dict[str, Any]] = field(default_factory=dict)
    _whole: dict[str, str] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, advance: Advance) -> None:
        """Add an advance of a bronze or silver table."""
        with self._lock:
            before = self._advances.get(advance.table)
            self._advances[advance.table] = before.plus(advance) if before else advance

    def note(self, event: dict[str, Any]) -> None:
        """Keep dbt's event of a finished model or test, instead of the one before.

        A model's rows count from the first of these builds on.
        """
        node = event["data"]["node_info"]["unique_id"]
        with self._lock:
            before = self._built.get(node, event)
            if "build" in event:
                event["since"] = before.get("since", before.get("build", event["build"]))
                # The query of a build that only appends tells a part of where columns come from.
                if event["appending"]:
                    event["compiled"] = self._whole.get(node, event["compiled"])
                else:
                    self._whole[node] = event["compiled"]
            self._built[node] = event

    def take(self) -> tuple[list[Advance], list[dict[str, Any]]]:
        """The sum of the advances of each table, and the latest event of each node of dbt."""
        with self._lock:
            taken = list(self._advances.values()), list(self._built.values())
            self._advances, self._built = {}, {}
            return taken


@dataclass
class Drain:
    """The way of events from a log to gold.

    Args:
        remote: URL of the engine session of `runtime`, which dbt shares.
        reading: opens what the bronze tables read, for one thread.
        tables: silver tables of events; upstream of them is bronze.
        gold: of it the tables that hang on these.
        streams: tables of windows and patterns over these.
    """

    runtime: Runtime
    remote: str
    reading: Callable[[], AbstractContextManager[EventReader]]
    tables: Sequence[EventTable]
    gold: Gold
    streams: Sequence[StreamTable] = ()
    tally: Tally = field(default_factory=Tally)
    _log: EventReader = field(init=False)
    _ends: dict[str, Mapping[int, int]] = field(default_factory=dict)
    _commits: dict[str, int] = field(default_factory=dict)
    _due: dict[str, float] = field(default_factory=dict)
    _marts_due: float = field(default_factory=lambda: time.monotonic() + MARTS_SECONDS)
    _marts_begun: float = 0.0
    _marts_behind: bool = True
    """A drain that was killed may have left them behind."""
    _to_build: list[str] = field(default_factory=list)
    _costly: Lock = field(default_factory=Lock)
    """Held for what takes seconds, so that one at a time competes with what is to be quick."""

    def loops(self) -> list[Loop]:
        """The loops, each taking what the one before it has committed."""
        return [
            Loop("bronze", self._bronze, BRONZE_PACE, self._logged),
            Loop("silver", self._silver, SILVER_PACE),
            Loop("gold", self._gold, GOLD_PACE),
            Loop("streams", self._stream, STREAM_PACE),
        ]

    def lag(self) -> dict[str, int]:
        """How many events each bronze table has yet to take in."""
        with self.reading() as log:
            return {table.reads.name: table.reads.lag(self._lake, log) for table in self.tables}

    @contextmanager
    def _logged(self) -> Iterator[None]:
        with self.reading() as self._log:
            yield

    @property
    def _lake(self) -> Lake:
        return self.runtime.lake

    def prepare(self, silver: Sequence[SilverTable]) -> None:
        """Make what gold's tables join with exist, if only empty: it may come later than events.

        Args:
            silver: every silver table.
        """
        names = {name for table in self._appended for name in self.gold.upstreams[table]}
        missing = [name for name in sorted(names) if not self._lake.exists(name)]
        if built := [name for name in missing if name in self.gold.contracts]:
            for table in silver:
                table.ensure(self._lake)
            self._build(built)

    def _bronze(self, last: bool) -> bool:
        found = False
        for table in self.tables:
            ends = self._log.end_offsets(table.reads.topic)
            if ends != self._ends.get(table.name):
                advance = table.reads.advance(self._lake, self._log)
                self._ends[table.name] = ends
                self.tally.add(advance)
                found |= self._compacted(table.reads.name, advance)
        return found

    def _silver(self, last: bool) -> bool:
        found = False
        for table in self.tables:
            if self._is_due(table, last) and self._behind(table.name, table.reads.name):
                advance = table.advance(self.runtime)
                self.tally.add(advance)
                found |= self._compacted(table.name, advance, quarantine_name(table.name))
        return found

    def _gold(self, last: bool) -> bool:
        if behind := [name for name in self._appended if self._lacks_rows(name)]:
            self._build(behind, appending=[table.name for table in self.tables])
            self._marts_behind = True
        now = time.monotonic()
        if self._marts_behind and not self._to_build and (last or now >= self._marts_due):
            self._to_build = self.gold.in_order({*self._appended, *self._following})
            self._marts_begun, self._marts_behind = now, False
        if not self._to_build:
            return bool(behind)
        # One at a time, so that new rows need not wait for all of them; nor for what is costly.
        if self._costly.acquire(blocking=False):
            try:
                self._build_whole(self._to_build.pop(0))
            finally:
                self._costly.release()
            took = time.monotonic() - self._marts_begun
            self._marts_due = self._marts_begun + max(MARTS_SECONDS, took / MARTS_SHARE)
        return True

    def _build_whole(self, name: str) -> None:
        self._build([name])
        if name in self._appended:
            with self._lake.lease([name]):
                self._lake.compact(name)

    def _stream(self, last: bool) -> bool:
        found = False
        for table in self.streams:
            upstreams = {*table.upstreams} & {each.name for each in self.tables}
            if self._is_due(table, last) and any(self._behind(table.name, u) for u in upstreams):
                with self._costly:
                    advance = table.advance(self.runtime)
                rest = advance.seconds / STREAM_SHARE
                self._due[table.name] = max(self._due[table.name], time.monotonic() + rest)
                self.tally.add(advance)
                found |= self._compacted(table.name, advance)
        return found

    def _is_due(self, table: EventTable | StreamTable, last: bool) -> bool:
        """Whether to advance a table now; if so, the next time is counted from here."""
        now = time.monotonic()
        due = last or now >= self._due.get(table.name, 0.0)
        if due:
            self._due[table.name] = now + table.every.total_seconds()
        return due

    @cached_property
    def _appended(self) -> list[str]:
        """The gold tables that follow at once."""
        return self.gold.appended([table.name for table in self.tables])

    @cached_property
    def _following(self) -> list[str]:
        """The gold tables that follow now and then."""
        hanging = self.gold.hanging_on([table.name for table in self.tables])
        return [name for name in hanging if name not in self._appended]

    def _lacks_rows(self, name: str) -> bool:
        """Whether a gold table has yet to append rows of one of the streams."""
        appended = self.gold.appended_to(self._lake, name)
        streams = appended.keys() & {table.name for table in self.tables}
        return any(self._lake.seq(stream) > appended[stream] for stream in streams)

    def _behind(self, name: str, upstream: str) -> bool:
        return self._lake.seq(upstream) > self._lake.progress(name, upstream)

    def _build(self, names: Sequence[str], *, appending: Sequence[str] = ()) -> None:
        failed = []
        for event in self.gold.build(self.runtime, self.remote, names, appending=appending):
            if event["info"]["name"] in ("LogModelResult", "LogTestResult"):
                self.tally.note(event)
            if (reason := failure(event)) and not is_test(event):
                failed.append(reason)
        if failed:
            raise GoldFailed("; ".join(failed))

    def _compacted(self, name: str, advance: Advance, *beside: str) -> bool:
        """Put small files of tables together once one has many; whether it had news."""
        if not advance.rows_in:
            return False
        self._commits[name] = self._commits.get(name, 0) + 1
        if self._commits[name] % COMMITS_PER_COMPACTION == 0:
            with self._lake.lease([name, *beside]):
                for each in (name, *beside):
                    self._lake.compact(each)
        return True
