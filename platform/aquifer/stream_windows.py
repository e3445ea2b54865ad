"""Windows of event time, kept up with events by a query over those of each window.

Belongs here: what tumbling, sliding and session windows share, and the dimensions that a query
joins. Does not: which windows new events touch (`fixed_windows`, `session_windows`), and how a
table is declared (`windowed`).
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import pyarrow as pa

from aquifer.contract import Contract, arrow_schema, contract_fields, minutes
from aquifer.event_source import EventSource
from aquifer.gold import INTERVAL_SEQUENCE
from aquifer.instants import instant
from aquifer.lake import DELETED, NOTHING, Lake
from aquifer.late_events import LateEvents
from aquifer.reading import Condition
from aquifer.runtime import Runtime
from aquifer.spans import Span, held_instant, joined, literal_instant
from aquifer.stream_table import Counts, Row, Step, StreamTable, step_of
from aquifer.windows import MICROSECOND

LATENESS = minutes(10)
"""How long after the watermark has closed a window events still correct it."""

START, END, FINAL = "window_start", "window_end", "is_final"


@dataclass(frozen=True)
class Dimension:
    """A table of versions (SCD2) that a query joins, `valid_from` to `valid_to`.

    Args:
        name: `gold.<table>`; the query names it without the layer.
        contract: its contract.
    """

    name: str
    contract: type[Contract]

    def relation(self, lake: Lake) -> str:
        """A common table expression of its rows; of a table that does not exist yet, none."""
        if lake.exists(self.name):
            return f"{self.alias} as (select * from {self.name})"
        nulls = ", ".join(
            f"cast(null as {column.spark_type}) as {column.name}"
            for column in contract_fields(self.contract)
        )
        return f"{self.alias} as (select {nulls} where false)"

    @property
    def alias(self) -> str:
        """What queries call it."""
        return self.name.partition(".")[2]

    def rows(self, lake: Lake) -> pa.Table:
        """Its rows; of a table that does not exist yet, none."""
        if lake.exists(self.name):
            return lake.read(self.name)
        return arrow_schema(self.contract).empty_table()

    def moved(self, lake: Lake, since: int) -> list[Span]:
        """The times of the versions that are new, or have another end, since a `_seq`."""
        # The versions that a dimension begins with have no `_interval_seq` of their own.
        where = [(INTERVAL_SEQUENCE, ">", since)] if since > NOTHING else []
        rows = lake.read(self.name, ["valid_from", "valid_to"], where)
        bounds = [rows[name].cast("int64").to_pylist() for name in ("valid_from", "valid_to")]
        return joined(Span(*span) for span in zip(*bounds, strict=True))


@dataclass(frozen=True)
class WindowedTable(StreamTable):
    """A row a window and key, computed by a query over the relation `events`.

    Those are the events of the windows, each with `window_start` and `window_end`, without those
    that others take back. The row has these two columns and `is_final`: whether the watermark has
    closed the window.

    Args:
        sources: by label; the label of several is a column of the row and of `events`.
        query: SQL over `events` and the dimensions.
        label: the column of the label, if there are several sources.
        lateness: how long after the watermark has closed a window it takes events in.
        dimensions: tables of versions that the query joins.
    """

    sources: Mapping[str, EventSource]
    query: str
    label: str
    lateness: timedelta
    dimensions: Sequence[Dimension]

    @property
    def late(self) -> LateEvents:
        return LateEvents(self.name)

    @property
    def upstreams(self) -> Sequence[str]:
        names = [source.name for source in self.sources.values()]
        return [*names, *(dimension.name for dimension in self.dimensions)]

    @property
    def events(self) -> Sequence[str]:
        return [source.name for source in self.sources.values()]

    @property
    def code(self) -> str:
        return f"{self.query} {self.lateness}"

    @abstractmethod
    def take_in_step(
        self, runtime: Runtime, label: str, step: Step, moved: Sequence[Span], counts: Counts
    ) -> None:
        """Take in what is new of a source, and compute anew the windows that overlap spans."""

    @abstractmethod
    def take_in_waiting(
        self, runtime: Runtime, label: str, step: Step, waiting: Sequence[Row], counts: Counts
    ) -> None:
        """Take in events of a source that came too late."""

    def pending(self, lake: Lake, step: Step) -> bool:
        """Whether something is left to do of events that have been taken in."""
        return False

    def ensure(self, lake: Lake) -> None:
        super().ensure(lake)
        self.late.ensure(lake)

    def take_in(self, runtime: Runtime, counts: Counts) -> None:
        lake = runtime.lake
        seen = {dimension: lake.snapshot(dimension.name).seq for dimension in self.dimensions}
        since = {dimension: lake.progress(self.name, dimension.name) for dimension in seen}
        moved = {d.name: seen[d] for d in seen if seen[d] > since[d]}
        spans = joined(span for d in seen if d.name in moved for span in d.moved(lake, since[d]))
        for label, source in self.sources.items():
            step = step_of(lake, self.name, source.name)
            if step.upto > step.since or spans or self.pending(lake, step):
                self.take_in_step(runtime, label, step, spans, counts)
        if moved:
            lake.record(self.name, moved)

    def take_in_late(self, runtime: Runtime, counts: Counts) -> None:
        for label, source in self.sources.items():
            step = step_of(runtime.lake, self.name, source.name)
            if self.pending(runtime.lake, step):
                taken_in = replace(step, upto=step.since, watermark=step.before)
                self.take_in_step(runtime, label, taken_in, [], counts)
            waiting = self.late.waiting(runtime.lake, source.name)
            if waiting:
                self.take_in_waiting(runtime, label, step, waiting, counts)
                self.late.taken_in(runtime.lake, waiting)

    def windowed(self, runtime: Runtime, label: str, rows: str, watermark: int) -> list[Row]:
        """The table's rows for windows of which all events are given.

        Args:
            rows: SQL of the events, with `window_start` and `window_end`.
        """
        named = f"select *, '{label}' as {self.label} from ({rows})" if self.label else rows
        relations = [
            f"events as ({named})",
            *(dimension.relation(runtime.lake) for dimension in self.dimensions),
        ]
        final = f"{END} <= {literal_instant(watermark)}" if watermark > 0 else "false"
        return self.computed(
            runtime,
            f"with {', '.join(relations)} select *, {final} as {FINAL} from ({self.query})",
        )

    def overlapping(self, label: str, spans: Sequence[Span]) -> list[list[Condition]]:
        """Conditions for the rows of a source whose windows overlap spans or what is between."""
        if not spans:
            return []
        begin, end = (held_instant(ts_us) for ts_us in (spans[0].begin, spans[-1].end))
        return [[*self.of(label), (END, ">", begin), (START, "<", end)]]

    def of(self, label: str) -> list[Condition]:
        """Conditions for the rows of a source."""
        return [(self.label, "=", label)] if self.label else []

    def closed_by(self, label: str, step: Step) -> list[list[Condition]]:
        """Conditions for the rows whose windows the watermark closes with a step."""
        if step.watermark <= step.before:
            return []
        since, upto = instant(step.before), instant(step.watermark)
        return [[*self.of(label), (END, ">", since), (END, "<=", upto)]]

    def waiting_since(self, step: Step) -> int:
        """The instant up to which windows have ended that take in no more events."""
        return step.before - self.lateness // MICROSECOND


def closed(row: Row, watermark: int) -> Row:
    """The row of a window as the watermark leaves it."""
    return row if row[DELETED] else {**row, FINAL: row[END] <= instant(watermark)}
