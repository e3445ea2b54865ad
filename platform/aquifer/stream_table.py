"""Stream tables: what all of them share, each advanced from silver tables of events.

Belongs here: what is new for a table, and the commit that replaces the rows that it touches. Does
not: which rows those are, and what they become (`stream_windows`, `stream_sessions`,
`stream_alerts`, `stream_anomalies`).

A stream table has no state beside its rows. What new events touch is computed anew from silver,
whole, and replaces what stood there, in one transaction with the progress: killed at any instant,
the next advance repeats what changes nothing twice.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import pyarrow as pa

from aquifer.advance import Advance
from aquifer.contract import Contract, arrow_schema, contract_fields, keys, table_metadata
from aquifer.engine import register
from aquifer.errors import AquiferError
from aquifer.instants import instant
from aquifer.lake import DELETED, MONTH, NOTHING, Lake, quoted
from aquifer.masking import sample_markdown
from aquifer.reading import Condition
from aquifer.runtime import Runtime
from aquifer.silver_events import WATERMARK

EVENTS_PER_ADVANCE = 500_000

Row = dict[str, Any]

LIVE = f"not {DELETED}"
"""SQL of the rows that stand."""


class Stalled(AquiferError):
    """A table cannot go on until what it takes is mended; others of the same events can."""


@dataclass(frozen=True)
class Step:
    """What one advance takes in of one upstream table.

    Attributes:
        upstream: the table.
        since: the `_seq` of it up to which all has been taken in.
        upto: the `_seq` of it up to which this step does.
        version: the version of it that was looked at.
        before: the watermark after the last step, in microseconds since 1970.
        watermark: the watermark now.
    """

    upstream: str
    since: int
    upto: int
    version: int
    before: int
    watermark: int

    @property
    def marks(self) -> dict[str, int]:
        """What the table records of the step."""
        reached = {watermark_of(self.upstream): self.watermark} if self.watermark > 0 else {}
        return {self.upstream: self.upto, **reached}


def watermark_of(upstream: str) -> str:
    """The application transaction of the watermark up to which an upstream was taken in."""
    return f"{WATERMARK}:{upstream}"


def step_of(lake: Lake, name: str, upstream: str, events: int = EVENTS_PER_ADVANCE) -> Step:
    """What a table has to take in of an upstream table of events, about so many of them."""
    # Asked for first: a watermark of events that are not taken in yet would make them late.
    watermark = lake.progress(upstream, WATERMARK)
    snapshot = lake.snapshot(upstream)
    since, before = (lake.progress(name, mark) for mark in (upstream, watermark_of(upstream)))
    upto = snapshot.seq
    if upto > since:
        upto = lake.reach(upstream, since, snapshot.seq, events)
    # Nothing is late before all that has come in is taken in.
    now = max(before, watermark) if upto == snapshot.seq else before
    return Step(upstream, since, upto, snapshot.version, before, now)


@dataclass
class Counts:
    """What the steps of an advance did."""

    events: int = 0
    late: int = 0
    written: int = 0
    sample: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class StreamTable(ABC):
    """A table that is kept up with events.

    Args:
        name: `stream.<table>`.
        contract: its columns and checks.
        every: how often it is advanced while events come in.
    """

    name: str
    contract: type[Contract]
    every: timedelta = field(kw_only=True)

    @property
    @abstractmethod
    def upstreams(self) -> Sequence[str]:
        """The tables that it is computed from."""

    @property
    @abstractmethod
    def code(self) -> str:
        """What decides the rows: its change is a new version of the code."""

    @property
    def follows(self) -> Sequence[str]:
        """Assets that are no tables, whose materialisation asks for its own."""
        return []

    @property
    def resources(self) -> Sequence[str]:
        """The keys of the resources that it takes beside lake and engine."""
        return []

    @property
    def checks(self) -> Mapping[str, str]:
        """Checks that pass while it is not stalled, each with what it asks for."""
        return {}

    @property
    def asks_for_runs(self) -> bool:
        """Whether what it has yet to take in starts a run."""
        return True

    def checked(self, lake: Lake) -> str:
        """SQL of the rows that the contract's checks look at."""
        return LIVE

    def waits(self, runtime: Runtime) -> bool:
        """Whether it takes in nothing for now, as something is not there yet.

        Raises:
            Stalled: it is there, and cannot be used.
        """
        return False

    @abstractmethod
    def take_in(self, runtime: Runtime, counts: Counts) -> None:
        """Take in what is new, and commit it with its progress."""

    def advance(self, runtime: Runtime) -> Advance:
        """Take in what is new of the upstream tables, and record that it is."""
        return self._advanced(runtime, late=False)

    def catch_up(self, runtime: Runtime) -> Advance:
        """Take in what is new, and what came too late: the table is as one batch would make it."""
        return self._advanced(runtime, late=True)

    @abstractmethod
    def take_in_late(self, runtime: Runtime, counts: Counts) -> None:
        """Take in what came too late, and commit it."""

    def ensure(self, lake: Lake) -> None:
        """Make the table exist, with all columns of its contract."""
        lake.ensure(self.name, self.schema, self._partition)

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns, but for `_seq`."""
        technical = [pa.field(DELETED, pa.bool_()), pa.field(MONTH, pa.string())]
        return pa.schema([*arrow_schema(self.contract), *technical])

    @cached_property
    def time(self) -> str:
        """The column by whose month the table is partitioned."""
        column = table_metadata(self.contract).partition_by
        if column is None:
            raise TypeError(f"{self.name} needs partition_by in its contract")
        return column

    @cached_property
    def columns(self) -> list[str]:
        return [column.name for column in contract_fields(self.contract)]

    @cached_property
    def keys(self) -> list[str]:
        return keys(self.contract)

    def held(self, lake: Lake, groups: Sequence[Sequence[Condition]]) -> list[Row]:
        """The rows for which a group of conditions holds, with `_deleted`: also those no more."""
        if not groups:
            return []
        rows: list[Row] = lake.read(self.name, [*self.columns, DELETED], groups).to_pylist()
        return rows

    def computed(self, runtime: Runtime, query: str) -> list[Row]:
        """The rows of a query, as rows of the table."""
        rows = runtime.session.sql(query).toArrow().select(self.columns)
        schema = arrow_schema(self.contract)
        # Whether a value may be null is the contract's word, which its checks hold.
        loose = pa.schema([pa.field(column.name, column.type) for column in schema])
        return [{**row, DELETED: False} for row in rows.cast(loose).to_pylist()]

    def replace(
        self,
        lake: Lake,
        held: Iterable[Row],
        wanted: Iterable[Row],
        marks: Mapping[str, int],
        counts: Counts,
    ) -> None:
        """Let the wanted rows stand where the held ones stood, and record marks.

        Rows that stay the same are not written. One that is no more stays, marked `_deleted`.
        """
        before = {self._key(row): row for row in held}
        after = {self._key(row): row for row in wanted}
        gone = [
            {**row, DELETED: True}
            for key, row in before.items()
            if key not in after and not row[DELETED]
        ]
        changed = [row for key, row in after.items() if before.get(key) != row]
        rows = [*changed, *gone]
        counts.written += len(rows)
        counts.sample = counts.sample or changed[:5]
        if not rows:
            if marks:
                lake.record(self.name, marks)
            return
        for row in rows:
            row[MONTH] = row[self.time].strftime("%Y-%m")
        table = pa.Table.from_pylist(rows, self.schema)
        if any(self._key(row) in before for row in rows):
            lake.merge(self.name, table, self.keys, self._place(rows), marks)
        else:
            lake.append(self.name, table, marks)

    def _advanced(self, runtime: Runtime, *, late: bool) -> Advance:
        started = time.monotonic()
        lake, counts = runtime.lake, Counts()
        with lake.lease([self.name]):
            self.ensure(lake)
            looked_at = {name: lake.snapshot(name).version for name in self.upstreams}
            present = [name for name, version in looked_at.items() if version != NOTHING]
            register(runtime.session, lake, present)
            self.take_in(runtime, counts)
            if late:
                self.take_in_late(runtime, counts)
            marks = lake.marks(self.name, [watermark_of(name) for name in self.upstreams])
        sample = pa.Table.from_pylist(counts.sample, arrow_schema(self.contract))
        return Advance(
            self.name,
            rows_in=counts.events,
            kept=counts.events,
            written=counts.written,
            late=counts.late,
            watermark=instant(min(marks.values())) if marks else None,
            versions_read={name: looked_at[name] for name in present},
            version=lake.version(self.name),
            sample=sample_markdown(sample, self.contract),
            seconds=time.monotonic() - started,
        )

    @property
    def _partition(self) -> list[str]:
        return [MONTH]

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[key] for key in self.keys)

    def _place(self, rows: Sequence[Row]) -> str:
        """SQL of DataFusion for where rows belong, by which delta-rs finds the files."""
        months = quoted(sorted({row[MONTH] for row in rows}))
        times = [row[self.time] for row in rows]
        least, most = (
            f"arrow_cast('{at.isoformat()}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
            for at in (min(times), max(times))
        )
        column = f"t.`{self.time}`"
        return f"t.{MONTH} in ({months}) and {column} >= {least} and {column} <= {most}"
