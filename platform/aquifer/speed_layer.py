"""The speed layer: windows of what has come in since the last batch, computed when asked for.

Belongs here: which windows a batch table has not seen whole, and their rows. Does not: merging them
with the batch's (`serving`).

A window that anything new touches is computed whole, from all events that stand, so that it can
take the place of the batch's rows of it: nothing is counted twice, and nothing is left out.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aquifer.cache import Cache
from aquifer.contract import Contract, arrow_schema
from aquifer.event_source import EventSource
from aquifer.instants import instant, micros, parsed
from aquifer.lake import SEQUENCE, Lake
from aquifer.query import plain
from aquifer.reading import Condition
from aquifer.silver_events import FIRST_SEQUENCE, FORMER
from aquifer.spans import Span, joined
from aquifer.stream_windows import Dimension
from aquifer.windows import Sliding

TOUCHED = b"touched"
"""The metadata of a speed layer's rows that holds the beginnings of the windows, as JSON."""


@dataclass(frozen=True)
class SpeedLayer:
    """The rows of windows that a batch table has not seen whole.

    Args:
        source: the events.
        window: windows that follow one another.
        contract: the rows' columns.
        query: DuckDB SQL over `events` and the dimensions, all instants in UTC without a zone.
        dimensions: tables of versions that the query joins.
    """

    source: EventSource
    window: Sliding
    contract: type[Contract]
    query: str
    dimensions: Sequence[Dimension] = ()

    @property
    def upstreams(self) -> Sequence[str]:
        """The tables that the rows are computed from."""
        return [self.source.name, *(dimension.name for dimension in self.dimensions)]

    def rows(self, lake: Lake, since: int, cache: Cache | None) -> pa.Table:
        """The rows of the windows that events above a `_seq` touch; see `TOUCHED`."""
        key = self._key(lake, since)
        kept = cache.get(key) if cache else None
        if kept is not None:
            return pa.ipc.open_stream(kept).read_all()
        rows = self._computed(lake, since)
        if cache:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema) as writer:
                writer.write_table(rows)
            cache.put(key, sink.getvalue().to_pybytes())
        return rows

    def _key(self, lake: Lake, since: int) -> str:
        """A name for all that the rows are computed from."""
        versions = [lake.snapshot(name) for name in self.upstreams]
        what = (lake.root, self.query, str(arrow_schema(self.contract)), since, versions)
        return hashlib.sha256(repr(what).encode()).hexdigest()

    def _computed(self, lake: Lake, since: int) -> pa.Table:
        begins = self._touched(lake, since)
        events, back = self._events(lake, begins)
        with duckdb.connect() as connection:
            connection.register("found", plain(events))
            connection.register("back", plain(back))
            connection.execute(f"create view events as {self._standing}")
            for dimension in self.dimensions:
                connection.register(dimension.alias, plain(dimension.rows(lake)))
            rows = connection.sql(self.query).to_arrow_table()
        schema = arrow_schema(self.contract)
        loose = pa.schema([pa.field(column.name, column.type) for column in schema])
        touched = {TOUCHED: json.dumps(sorted(begins))}
        return rows.select(schema.names).cast(loose).replace_schema_metadata(touched)

    def _touched(self, lake: Lake, since: int) -> set[int]:
        """The beginnings of the windows that events above a `_seq` touch."""
        source = self.source
        named = [source.takes_back.column] if source.takes_back else []
        columns = [source.time, *named, FORMER, FIRST_SEQUENCE]
        new = lake.read(source.name, columns, [(SEQUENCE, ">", since)])
        replaced = new.filter(pc.less_equal(new[FIRST_SEQUENCE], since))
        texts = chain(*replaced[FORMER].drop_null().to_pylist())
        former = [json.loads(text) for text in texts if text]
        times = new[source.time].cast(pa.int64()).to_pylist()
        times += [micros(parsed(event[source.time].strip())) for event in former]
        ids = {event.get(name) for event in former for name in named}
        ids |= {each for name in named for each in new[name].to_pylist()}
        if ids := ids - {None}:
            taken_back = lake.read(source.name, [source.time], [(source.id, "in", sorted(ids))])
            times += taken_back[source.time].cast(pa.int64()).to_pylist()
        return {at - at % self.window.size_us for at in times}

    def _events(self, lake: Lake, begins: set[int]) -> tuple[pa.Table, pa.Table]:
        """The events of windows, and those that take one of them back."""
        source = self.source
        columns = arrow_schema(source.table.contract).names
        nothing = arrow_schema(source.table.contract).empty_table()
        if not begins:
            return nothing, nothing
        spans = joined(Span(begin, begin + self.window.size_us) for begin in begins)
        within: list[list[Condition]] = [
            [(source.time, ">=", instant(span.begin)), (source.time, "<", instant(span.end))]
            for span in spans
        ]
        events = lake.read(source.name, columns, within)
        at = events[source.time].cast(pa.int64()).to_numpy()
        events = events.filter(np.isin(at - at % self.window.size_us, list(begins)))
        if not source.takes_back or not len(events):
            return events, nothing
        # Ids grow with time, so that few files hold what takes one of these back.
        ids, column = pc.min_max(events[source.id]).as_py(), source.takes_back.column
        named: list[Condition] = [(column, ">=", ids["min"]), (column, "<=", ids["max"])]
        return events, lake.read(source.name, columns, named)

    @property
    def _standing(self) -> str:
        if not self.source.takes_back:
            return "select * from found"
        column, when = self.source.takes_back
        return (
            f"select * from found where {self.source.id} not in "
            f"(select {column} from back where {when})"
        )
