"""Session windows: activity by key, each from its first event until a gap after its last.

Belongs here: which sessions events touch, and those computed anew. Does not: windows that the clock
alone decides (`fixed_windows`), and what both share (`stream_windows`).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from aquifer.event_source import EventSource
from aquifer.instants import instant, micros
from aquifer.lake import SEQUENCE
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
            where = where | self.of(label, self.closed_by(step))
        held = self.held(runtime.lake, where)
        replaced, others = [], []
        for row in held:
            window, key = Span(micros(row[START]), micros(row[END])), self._of(row)
            span = spans.get(key)
            if span and window.begin < span.end and window.end > span.begin:
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
        waiting: Iterable[Row],
        watermark: int,
    ) -> list[Row]:
        """The sessions of keys, each key's within a span that parts no session."""
        source = self.sources[label]
        touched, put_aside = self._relations(runtime, source, spans, waiting)
        keys, gap, time = ", ".join(self.by), self.window.gap_us, source.time
        same = " and ".join(f"e.{column} = t.{column}" for column in self.by)
        # A span ends a gap after its last event, where the next session may begin.
        rows = (
            f"select e.*, unix_micros({time}) as _at "
            f"from ({source.standing(runtime, joined(spans.values()))}) e "
            f"join {touched} t on {same} and e.{time} >= t._begin and e.{time} < t._end "
            f"left anti join {put_aside} l "
            f"on e.{source.id} = l.event_id and e.{time} = l.event_time"
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

    def _relations(
        self,
        runtime: Runtime,
        source: EventSource,
        spans: Mapping[Key, Span],
        waiting: Iterable[Row],
    ) -> tuple[str, str]:
        """The names of two views: of keys with their spans, and of events that are put aside."""
        keyed = [(column, source.table.schema.field(column).type) for column in self.by]
        touched = pa.Table.from_pylist(
            [
                {**dict(zip(self.by, key, strict=True)), "_begin": instant(b), "_end": instant(e)}
                for key, (b, e) in spans.items()
            ],
            pa.schema([*keyed, ("_begin", _INSTANT), ("_end", _INSTANT)]),
        )
        late = pa.Table.from_pylist(
            [{name: row[name] for name in ("event_id", "event_time")} for row in waiting],
            pa.schema([("event_id", pa.string()), ("event_time", _INSTANT)]),
        )
        views = [f"{self.name.replace('.', '_')}_{part}" for part in ("touched", "late")]
        for view, rows in zip(views, (touched, late), strict=True):
            runtime.session.createDataFrame(rows).createOrReplaceTempView(view)
        return views[0], views[1]
