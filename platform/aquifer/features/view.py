"""Feature views: a row an entity and day, computed by a query over the days that are out of date.

Belongs here: how a view is declared, which of its days are out of date, and how they are computed
anew. Does not: its Dagster definition (`assets`), and how its rows are read (`point_in_time`,
`online`).

Days are replaced whole, then the online store is, and progress is recorded last: killed at any
instant, the next advance comes to the same.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.advance import Advance
from aquifer.contract import (
    Contract,
    Date,
    Field,
    Key,
    Record,
    Timestamp,
    arrow_schema,
    contract_fields,
    keys,
)
from aquifer.daily import Days
from aquifer.engine import register
from aquifer.features.online import OnlineStore, push
from aquifer.gold_lineage import query_lineage
from aquifer.instants import micros
from aquifer.lake import DELETED, MONTH, NOTHING, SEQUENCE, Lake
from aquifer.masking import sample_markdown
from aquifer.runtime import Runtime
from aquifer.spans import Span, within

DAY, EVENT_TIME = "day", "event_time"

COMPUTED = "_computed"
"""The application transaction of the last day that is computed, counted from the first of all."""

FIRST_SUNDAY = date(1970, 1, 4)
"""Among the days of every view, however many lie between two."""


class FeatureRow(Record):
    """What every feature view has beside its entity and features."""

    day: Date = Key(description="day at whose end the features hold, UTC")
    event_time: Timestamp = Field(description="instant from which they are known: the day's end")


class DatedTable(Protocol):
    """A table of the lake whose rows say which day they are of."""

    @property
    def name(self) -> str: ...

    @property
    def contract(self) -> type[Contract]: ...


@dataclass(frozen=True)
class Upstream:
    """A table that features are computed from.

    Args:
        table: a table whose rows carry `_seq` and stay, marked `_deleted`, when they are no more.
        time: its column of the instant or day from which a row can change a feature; None: it is
            looked up as it stands, and what changes in it makes no day out of date.
        back: how many days a query looks at, the last one included, of a table of events; None: all
            there are.
    """

    table: DatedTable
    time: str | None
    back: int | None = None

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def alias(self) -> str:
        """What queries call it."""
        return self.name.partition(".")[2]

    @property
    def columns(self) -> dict[str, str]:
        """Its columns, with their types in Spark SQL."""
        return {column.name: column.spark_type for column in contract_fields(self.table.contract)}

    def relation(self, lake: Lake, days: Days | None = None) -> str:
        """A common table expression of its live rows; of a table that does not exist yet, none.

        Args:
            days: what is asked about; of a table of which a query looks at some days, others are
                left out.
        """
        if lake.exists(self.name):
            looked_at = f" and {self._within(days)}" if days and self.back else ""
            return f"{self.alias} as (select * from {self.name} where not {DELETED}{looked_at})"
        nulls = ", ".join(
            f"cast(null as {kind}) as `{name}`" for name, kind in self.columns.items()
        )
        return f"{self.alias} as (select {nulls} where false)"

    def _within(self, days: Days) -> str:
        """SQL of the rows that a query about days looks at."""
        assert self.time is not None
        first = max(days.first.toordinal() - (self.back or 0) + 1, 1)
        bounds = (first, min(days.last.toordinal() + 1, date.max.toordinal()))
        begin, end = (micros(datetime.fromordinal(day).replace(tzinfo=UTC)) for day in bounds)
        return within(self.time, [Span(begin, end)], MONTH)

    def day(
        self, lake: Lake, since: int, pick: Callable[[pa.ChunkedArray], pa.Scalar]
    ) -> date | None:
        """The first or last day of the rows above a `_seq`."""
        if self.time is None or not lake.exists(self.name):
            return None
        rows = lake.read(self.name, [self.time], [(SEQUENCE, ">", since)])
        at = pick(rows[self.time]).as_py()
        return at.date() if isinstance(at, datetime) else at


@dataclass(frozen=True, eq=False)
class FeatureView:
    """Features of an entity at the end of each day.

    Args:
        name: `features.<view>`.
        contract: a `FeatureRow` with the columns of the entity as further keys, and features.
        reads: the tables that it is computed from; the last day of the first is its last.
        query: SQL over `days` (`day`, `event_time`) and the upstream tables, named without their
            layer; its rows are those of these days, without `event_time`. It must not look at what
            happened at the `event_time` of a row or after.
        every: how many days lie between two for which it is computed, the Sundays among them.
        lasts: for how many days features stand in for later ones that are not computed yet; as many
            as `every`, if it is not said.
    """

    name: str
    contract: type[Contract]
    reads: Sequence[Upstream]
    query: str
    every: int = 1
    lasts: int | None = None

    @property
    def within(self) -> timedelta:
        """How old features may be, at most, that are joined to an instant."""
        return timedelta(days=self.lasts or self.every)

    @cached_property
    def entity(self) -> list[str]:
        """The columns that say whose features a row has."""
        return [key for key in keys(self.contract) if key != DAY]

    @cached_property
    def features(self) -> list[str]:
        """The columns of the features."""
        others = {*self.entity, DAY, EVENT_TIME}
        return [f.name for f in contract_fields(self.contract) if f.name not in others]

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns, but for `_seq`."""
        return arrow_schema(self.contract)

    @property
    def code(self) -> str:
        """What decides the rows: its change is a new version of the code."""
        looked_at = [each.back for each in self.reads]
        return f"{self.query} {self.every} {looked_at}"

    def lineage(self) -> dict[str, list[tuple[str, str]]]:
        """The upstream columns that each column is made from."""
        return self.made_from([name for name in self.schema.names if name != EVENT_TIME])

    def made_from(self, columns: list[str]) -> dict[str, list[tuple[str, str]]]:
        """The upstream columns that columns of the query are made from."""
        relations = [
            f"days as (select date'1970-01-01' as {DAY}, timestamp'1970-01-01' as {EVENT_TIME})",
            *(f"{each.alias} as (select * from {each.name})" for each in self.reads),
        ]
        upstreams = {each.name: each.columns for each in self.reads}
        query = f"with {', '.join(relations)} select * from ({self.query})"
        return query_lineage(query, columns, upstreams)

    def touched(self, lake: Lake, first: date) -> Days | None:
        """The days that are out of date, of those from `first` on.

        A row that changes touches all days from its own on: windows of features reach back.
        """
        since = lake.marks(self.name, [each.name for each in self.reads])
        last = self._last(lake)
        changed = [
            day
            for each in self.reads
            if lake.seq(each.name) > since.get(each.name, NOTHING)
            and (day := each.day(lake, since.get(each.name, NOTHING), pc.min))
        ]
        if (computed := lake.progress(self.name, COMPUTED)) > 0:
            # Also where nothing happened since, days have gone by.
            changed.append(date.fromordinal(computed + 1))
        touched = max(min(changed, default=date.max), first)
        return Days(touched, last) if touched <= last else None

    def advance(self, runtime: Runtime, store: OnlineStore, days: Days, first: date) -> Advance:
        """Compute days anew, and record that nothing is out of date if they are all that is.

        Args:
            store: where the features of the last day go.
            days: those after the last one that can be known come to no rows.
            first: the first day that is kept.
        """
        started = time.monotonic()
        lake = runtime.lake
        with lake.lease([self.name]):
            lake.ensure(self.name, self.schema, [DAY])
            seen = {each.name: lake.snapshot(each.name) for each in self.reads}
            touched = self.touched(lake, first)
            present = [name for name, snapshot in seen.items() if snapshot.version != NOTHING]
            register(runtime.session, lake, [self.name, *present])
            last = self._last(lake)
            with runtime.staging() as place:
                staged = self.compute(runtime, Days(days.first, min(days.last, last)), place)
                written = self._replace(runtime, days, staged)
                sample = runtime.session.sql(f"select * from {staged} limit 5").toArrow()
            push(lake, self.name, self.entity, store)
            marks = {SEQUENCE: lake.version(self.name)}
            if touched is None or days.covers(touched):
                marks |= {name: seen[name].seq for name in present if seen[name].seq != NOTHING}
                marks[COMPUTED] = last.toordinal()
            lake.record(self.name, marks)
        return Advance(
            self.name,
            rows_in=written,
            kept=written,
            written=written,
            versions_read={name: seen[name].version for name in present},
            version=lake.version(self.name),
            sample=sample_markdown(sample, self.contract),
            seconds=time.monotonic() - started,
        )

    def compute(self, runtime: Runtime, days: Days, place: str) -> str:
        """Stage the rows of days; the name of the relation that holds them."""
        return runtime.stage(self._sql(runtime.lake, days), place, self._view)

    def _last(self, lake: Lake) -> date:
        """The last day that can be known, before all others if there is none."""
        last = self.reads[0].day(lake, NOTHING, pc.max) or date.min
        # The day under way is computed when it has ended.
        return min(last, datetime.now(UTC).date() - timedelta(days=1))

    def _sql(self, lake: Lake, days: Days) -> str:
        """The rows of days, with the columns of the table but `_seq`."""
        columns = ", ".join(
            f"cast({_END if field.name == EVENT_TIME else f'`{field.name}`'} as {field.spark_type})"
            f" as `{field.name}`"
            for field in contract_fields(self.contract)
        )
        relations = [
            f"days as ({self._days(days)})",
            *(each.relation(lake, days) for each in self.reads),
        ]
        return f"with {', '.join(relations)} select {columns} from ({self.query})"

    def _days(self, days: Days) -> str:
        every = f"pmod(datediff(day, date'{FIRST_SUNDAY}'), {self.every}) = 0"
        return (
            f"select {DAY}, {_END} as {EVENT_TIME} from (select explode(sequence("
            f"date'{days.first}', date'{days.last}', interval 1 day)) as {DAY}) where {every}"
        )

    def _replace(self, runtime: Runtime, days: Days, staged: str) -> int:
        """Let the staged rows be those of the days; how many they are."""
        lake = runtime.lake
        seq = lake.next_seq(self.name)
        rows = runtime.session.sql(f"select *, cast({seq} as bigint) as {SEQUENCE} from {staged}")
        within = f"{DAY} >= '{days.first}' and {DAY} <= '{days.last}'"
        writer = rows.write.format("delta").mode("overwrite").option("replaceWhere", within)
        writer.save(lake.uri(self.name))
        return int(rows.count())

    @property
    def _view(self) -> str:
        return f"staged_{self.name.replace('.', '_')}"


_END = f"cast(date_add({DAY}, 1) as timestamp)"


def feature_view(
    contract: type[Contract],
    *,
    reads: Mapping[DatedTable, str | None],
    back: Mapping[DatedTable, int] | None = None,
    every: int = 1,
    lasts: int | None = None,
) -> Callable[[Callable[[], str]], FeatureView]:
    """Declare a feature view by a function that gives its query; its name is the view's.

    Args:
        reads: the upstream tables, each with its column of time, if it has one; see `Upstream`.
        back: of tables of events, how many days the query looks at; see `Upstream`.
        every, lasts, contract: as of `FeatureView`.
    """

    def declare(query: Callable[[], str]) -> FeatureView:
        upstreams = [
            Upstream(table, time, (back or {}).get(table)) for table, time in reads.items()
        ]
        name = f"features.{query.__name__}"
        return FeatureView(name, contract, upstreams, query(), every, lasts)

    return declare


def out_of_date(lake: Lake, views: Iterable[FeatureView], first: date) -> dict[str, Days]:
    """The days that are out of date of each view that has any, by name.

    Args:
        first: the first day that is kept.
    """
    touched = {view.name: view.touched(lake, first) for view in views}
    return {name: days for name, days in touched.items() if days}
