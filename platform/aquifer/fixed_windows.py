"""Windows of fixed length, tumbling or sliding: which ones events touch, and those computed anew.

Belongs here: windows that the clock alone decides. Does not: sessions (`session_windows`), and what
both share (`stream_windows`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aquifer.event_source import EventSource, News, instants
from aquifer.instants import instant, micros
from aquifer.lake import Lake
from aquifer.late_events import late_row
from aquifer.runtime import Runtime
from aquifer.spans import Span, joined
from aquifer.stream_table import Counts, Row, Step
from aquifer.stream_windows import START, WindowedTable, closed
from aquifer.windows import Sliding

MINUTE = 60_000_000
"""How far the watermark goes on, in microseconds, until more of them have corrected theirs."""


def _corrected(upstream: str) -> str:
    """The application transaction of the `_seq` up to which closed windows are corrected, too."""
    return f"_corrected:{upstream}"


@dataclass(frozen=True)
class FixedWindows(WindowedTable):
    """A table of windows of fixed length.

    When many events come in, some are late in each step, and touch most of the windows that late
    events may still correct. So those are computed once a minute only; windows that the watermark
    has not closed always are.

    Args:
        window: which windows an instant is in.
        few: new events of a step up to which closed windows are corrected at once.
    """

    window: Sliding
    few: int = 1_000

    def take_in_step(
        self, runtime: Runtime, label: str, step: Step, moved: Sequence[Span], counts: Counts
    ) -> None:
        source, lake = self.sources[label], runtime.lake
        news = source.news(runtime, step.since, step.upto)
        corrected = min(lake.progress(self.name, _corrected(source.name)), step.since)
        due = len(news.events) <= self.few or step.before // MINUTE < step.watermark // MINUTE
        closed_until = self.waiting_since(step)
        begins, late = self._touched(source, news, closed_until)
        closed = {begin for begin in begins if begin + self.window.size_us <= step.before}
        if not due:
            begins -= closed
        elif corrected < step.since:
            deferred = source.news(runtime, corrected, step.since)
            # They were in time when they came, which is a minute ago at most.
            begins |= self._touched(source, deferred, closed_until - MINUTE)[0]
        begins |= self._begun_within(lake, label, moved)
        rows = [
            late_row(step, source, event, Span(begin, begin + self.window.size_us), None)
            for event, begin in late
        ]
        self.late.put_aside(lake, rows)
        counts.events += len(news.events)
        counts.late += len(rows)
        if due or (corrected == step.since and not closed):
            corrected = step.upto
        marks = step.marks | {_corrected(source.name): corrected}
        self._compute(runtime, label, step, begins, counts, marks)

    def take_in_waiting(
        self, runtime: Runtime, label: str, step: Step, waiting: Sequence[Row], counts: Counts
    ) -> None:
        begins = {micros(row[START]) for row in waiting}
        self._compute(runtime, label, step, begins, counts, {})

    def pending(self, lake: Lake, step: Step) -> bool:
        return lake.progress(self.name, _corrected(step.upstream)) < step.since

    def _touched(
        self, source: EventSource, news: News, closed_until: int
    ) -> tuple[set[int], list[tuple[Row, int]]]:
        """The beginnings of the windows that news touch, and of those that events are too late for.

        Args:
            closed_until: windows that have ended by then take no more events in.
        """
        begins: set[int] = set()
        late: list[tuple[Row, int]] = []
        for events in news:
            of_each = self.window.begins(instants(events, source.time).to_numpy())
            too_late = of_each + self.window.size_us <= closed_until
            begins |= {*np.unique(of_each[~too_late]).tolist()}
            for place, nth in np.argwhere(too_late).tolist():
                (event,) = events.slice(place, 1).to_pylist()
                late.append((event, int(of_each[place, nth])))
        return begins, late

    def _begun_within(self, lake: Lake, label: str, spans: Sequence[Span]) -> set[int]:
        """The beginnings of the windows that overlap spans."""
        begins = {micros(row[START]) for row in self.held(lake, self.overlapping(label, spans))}
        size = self.window.size_us
        return {b for b in begins if any(s.begin < b + size and b < s.end for s in spans)}

    def _compute(
        self,
        runtime: Runtime,
        label: str,
        step: Step,
        begins: set[int],
        counts: Counts,
        marks: Mapping[str, int],
    ) -> None:
        """Compute windows anew, close those that the step closes, and record marks with them."""
        source, lake = self.sources[label], runtime.lake
        wanted: list[Row] = []
        where = self.closed_by(label, step)
        if begins:
            spans = joined(Span(begin, begin + self.window.size_us) for begin in begins)
            rows = self.window.assigned(source.standing(runtime, spans), source.time)
            found = self.windowed(runtime, label, rows, step.watermark)
            wanted = [row for row in found if micros(row[START]) in begins]
            least, most = instant(min(begins)), instant(max(begins))
            where.append([*self.of(label), (START, ">=", least), (START, "<=", most)])
        held = self.held(lake, where)
        others = (row for row in held if micros(row[START]) not in begins)
        wanted += [closed(row, step.watermark) for row in others]
        self.replace(lake, held, wanted, marks, counts)
