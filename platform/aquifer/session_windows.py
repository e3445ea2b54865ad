"""Session windows: activity by key, each from its first event until a gap after its last.

Belongs here: which sessions events touch, and those computed anew. Does not: windows that the clock
alone decides (`fixed_windows`), and what both share (`stream_windows`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from aquifer.event_source import EventSource
from aquifer.instants import instant, micros
from aquifer.lake import DELETED, SEQUENCE
from aquifer.late_events import late_row
from aquifer.runtime import Runtime
from aquifer.spans import Span, joined
from aquifer.stream_table import Counts, Row, Step
from aquifer.stream_windows import END, START, WindowedTable, closed
from aquifer.windows import Session

Key = tuple[Any, ...]

_INSTANT = pa.timestamp("us", "UTC")


@dataclass(frozen=True)
class SessionWindows(WindowedTable):
    """A table of sessions.

    Args:
        window: what parts two sessions.
        by: the columns of an event, and of the row, that say whose session it belongs to.
    """

    window: Session
    by: Sequence[str]

    def take_in_step(
        self, runtime: Runtime, label: str, step: Step, moved: Sequence[Span], counts: Counts
    ) -> None:
        source, lake = self.sources[label], runtime.lake
        news = source.news(runtime, step.since, step.upto)
        touched: dict[Key, list[int]] = {}
        late: list[Row] = []
        for events in news:
            columns = [source.id, source.time, *self.by, SEQUENCE]
            for event in events.select(columns).to_pylist():
                begin = micros(event[source.time])
                window = Span(begin, begin + self.window.gap_us)
                if window.end <= self.waiting_since(step):
                    late.append(late_row(step, source, event, window, json.dumps(self._of(event))))
                else:
                    touched.setdefault(self._of(event), []).append(begin)
        self.late.put_aside(lake, late)
        counts.events += len(news.events)
        counts.late += len(late)
        for row in self.held(lake, self.overlapping(label, moved)):
            touched.setdefault(self._of(row), []).append(micros(row[START]))
        waiting = self.late.waiting(lake, source.name)
        self._compute(runtime, label, step, touched, waiting, counts, closing=True)

    def take_in_waiting(
        self, runtime: Runtime, label: str, step: Step, waiting: Sequence[Row], counts: Counts
    ) -> None:
        touched: dict[Key, list[int]] = {}
        for row in waiting:
            touched.setdefault(tuple(json.loads(row["key"])), []).append(micros(row[START]))
        self._compute(runtime, label, step, touched, [], counts, closing=False)

    def _of(self, row: Row) -> Key:
        return tuple(row[column] for column in self.by)

    def _compute(
        self,
        runtime: Runtime,
        label: str,
        step: Step,
        touched: Mapping[Key, Sequence[int]],
        waiting: Sequence[Row],
        counts: Counts,
        *,
        closing: bool,
    ) -> None:
        """Compute the sessions of instants anew, and commit them with what the step records.

        Args:
            waiting: events that no session takes in.
        """
        spans = {
            key: Span(min(begins), max(begins) + self.window.gap_us)
            for key, begins in touched.items()
        }
        where = self.overlapping(label, joined(spans.values()))
        if closing:
            where += self.closed_by(label, step)
        held = self.held(runtime.lake, where)
        replaced, others = [], []
        for row in held:
            window, key = Span(micros(row[START]), micros(row[END])), self._of(row)
            span = spans.get(key)
            # A session that is no more parts nothing.
            if span and not row[DELETED] and window.begin < span.end and window.end > span.begin:
                replaced.append((key, window))
            else:
                others.append(closed(row, step.watermark))
        for key, window in replaced:
            span = spans[key]
            spans[key] = Span(min(span.begin, window.begin), max(span.end, window.end))
        wanted = self._sessions(runtime, label, spans, waiting, step.watermark) if spans else []
        marks = step.marks if closing else {}
        self.replace(runtime.lake, held, [*wanted, *others], marks, counts)

    def _sessions(
        self,
        runtime: Runtime,
        label: str,
        spans: Mapping[Key, Span],
        waiting: Sequence[Row],
        watermark: int,
    ) -> list[Row]:
        """The sessions of keys, each key's within a span that parts no session."""
        source = self.sources[label]
        touched = self._named(runtime, source, spans)
        keys, gap, time = ", ".join(self.by), self.window.gap_us, source.time
        same = " and ".join(f"e.{column} = t.{column}" for column in self.by)
        # A span ends a gap after its last event, where the next session may begin.
        rows = (
            f"select e.*, unix_micros({time}) as _at "
            f"from ({source.standing(runtime, joined(spans.values()))}) e "
            f"join {touched} t on {same} and e.{time} >= t._begin and e.{time} < t._end "
            f"{self._but_for(runtime, source, waiting)}"
        )
        order = f"partition by {keys} order by _at, {source.id}"
        parted = (
            f"select *, case when _at - lag(_at) over ({order}) < {gap} then 0 else 1 end as _new "
            f"from ({rows})"
        )
        numbered = f"select *, sum(_new) over ({order}) as _number from ({parted})"
        session = f"over (partition by {keys}, _number)"
        events = (
            f"select *, timestamp_micros(min(_at) {session}) as {START}, "
            f"timestamp_micros(max(_at) {session} + {gap}) as {END} from ({numbered})"
        )
        return self.windowed(runtime, label, events, watermark)

    def _named(self, runtime: Runtime, source: EventSource, spans: Mapping[Key, Span]) -> str:
        """The name of a view of keys with their spans."""
        schema = source.table.schema
        keys = [schema.field(column) for column in self.by]
        rows = [
            {**dict(zip(self.by, key, strict=True)), "_begin": instant(b), "_end": instant(e)}
            for key, (b, e) in spans.items()
        ]
        bounds = [pa.field(name, _INSTANT) for name in ("_begin", "_end")]
        return runtime.named(f"{self._view}_spans", rows, pa.schema([*keys, *bounds]))

    def _but_for(self, runtime: Runtime, source: EventSource, waiting: Sequence[Row]) -> str:
        """SQL that leaves events out."""
        if not waiting:
            return ""
        schema = pa.schema([("event_id", pa.string()), ("event_time", _INSTANT)])
        late = runtime.named(f"{self._view}_late", waiting, schema)
        same = f"e.{source.id} = l.event_id and e.{source.time} = l.event_time"
        return f"left anti join {late} l on {same}"

    @property
    def _view(self) -> str:
        return self.name.replace(".", "_")
