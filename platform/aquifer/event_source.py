"""Event sources: silver tables of events as stream tables see them.

Belongs here: what is new in one, and the events of spans of time that none takes back. Does not:
what is computed of them (`stream_windows`, `stream_alerts`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.contract import arrow_schema
from aquifer.engine import literal, literals
from aquifer.lake import SEQUENCE
from aquifer.runtime import Runtime
from aquifer.silver_events import FIRST_SEQUENCE, FORMER, EventTable
from aquifer.spans import Span, within


class TakesBack(NamedTuple):
    """How an event takes another back, as a void does with a sale.

    Attributes:
        column: names the event that is taken back.
        when: SQL that is true for the events that take back.
    """

    column: str
    when: str


class News(NamedTuple):
    """What is new in a source.

    Attributes:
        events: the new events, with their `_seq`.
        gone: what stood before and may stand no more, without a `_seq`: former contents, events
            that are taken back, and those that a former content took back.
    """

    events: pa.Table
    gone: pa.Table


@dataclass(frozen=True)
class EventSource:
    """A silver table of events that a stream table reads.

    Args:
        table: the silver table.
        takes_back: how an event takes another back, if events do.
    """

    table: EventTable
    takes_back: TakesBack | None = None

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def time(self) -> str:
        """The column of the event's own time."""
        return self.table.time

    @property
    def id(self) -> str:
        """The column that identifies an event."""
        return self.table.target.keys[0]

    def news(self, runtime: Runtime, since: int, upto: int) -> News:
        """What has come in above one `_seq` up to another."""
        columns = arrow_schema(self.table.contract).names
        rows = runtime.session.sql(
            f"select {', '.join(f'`{name}`' for name in columns)}, {SEQUENCE}, "
            f"case when {FIRST_SEQUENCE} <= {since} then {FORMER} end as {FORMER} "
            f"from {self.name} where {SEQUENCE} > {since} and {SEQUENCE} <= {upto}"
        ).toArrow()
        events = rows.drop_columns([FORMER]).cast(self._schema)
        texts = [text for text in chain(*rows[FORMER].drop_null().to_pylist()) if text]
        gone = [self._former(runtime, texts)] if texts else []
        if self.takes_back:
            named = [table[self.takes_back.column].drop_null() for table in (events, *gone)]
            ids = sorted(set(chain(*(column.to_pylist() for column in named))))
            gone.append(self._named(runtime, ids))
        return News(events, pa.concat_tables([self._schema.empty_table(), *gone]))

    def standing(self, runtime: Runtime, spans: Sequence[Span]) -> str:
        """SQL of the events of spans of time that none takes back."""
        where = within(self.time, spans)
        rows = f"select * from {self.name} where {where}"
        if not self.takes_back:
            return rows
        column, when = self.takes_back
        ids = runtime.session.sql(
            f"select min({self.id}) as least, max({self.id}) as greatest from {self.name} "
            f"where {where}"
        )
        (span,) = ids.toArrow().to_pylist()
        if span["least"] is None:
            return rows
        # What takes back may come at any time. Ids grow with time, so that engines prune by them.
        between = f"between {literal(span['least'])} and {literal(span['greatest'])}"
        return (
            f"select e.* from ({rows}) e left anti join "
            f"(select {column} from {self.name} where {when} and {column} {between}) b "
            f"on e.{self.id} = b.{column}"
        )

    @property
    def _schema(self) -> pa.Schema:
        return arrow_schema(self.table.contract).append(pa.field(SEQUENCE, pa.int64()))

    def _former(self, runtime: Runtime, texts: Sequence[str]) -> pa.Table:
        events = self.table.contents(runtime, texts)
        none = pa.nulls(len(events), pa.int64())
        return events.append_column(SEQUENCE, none).cast(self._schema)

    def _named(self, runtime: Runtime, ids: Sequence[str]) -> pa.Table:
        if not ids:
            return self._schema.empty_table()
        columns = ", ".join(f"`{name}`" for name in arrow_schema(self.table.contract).names)
        rows = runtime.session.sql(
            f"select {columns} from {self.name} where {self.id} in ({literals(ids)}) "
            f"and {self.id} between {literal(ids[0])} and {literal(ids[-1])}"
        )
        events = rows.toArrow().cast(self._schema.remove(len(self._schema) - 1))
        return events.append_column(SEQUENCE, pa.nulls(len(events), pa.int64()))


def instants(events: pa.Table, time: str) -> pa.ChunkedArray:
    """A column of instants in microseconds since 1970."""
    return pc.cast(events[time], pa.int64())
