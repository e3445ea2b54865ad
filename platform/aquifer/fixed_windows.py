"""Windows of fixed length, tumbling or sliding: which ones events touch, and those computed anew.

Belongs here: windows that the clock alone decides. Does not: sessions (`session_windows`), and what
both share (`stream_windows`).
"""

from collections.abc import Sequence
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


@dataclass(frozen=True)
class FixedWindows(WindowedTable):
    """A table of windows of fixed length.

    Args:
        window: which windows an instant is in.
    """

    window: Sliding

    def take_in_step(
        self, runtime: Runtime, label: str, step: Step, moved: Sequence[Span], counts: Counts
    ) -> None:
        source = self.sources[label]
        news = source.news(runtime, step.since, step.upto)
        begins, late = self._touched(step, source, news)
        begins |= self._begun_within(runtime.lake, label, moved)
        self.late.put_aside(runtime.lake, late)
        counts.events += len(news.events)
        counts.late += len(late)
        self._compute(runtime, label, step, begins, counts, closing=True)

    def take_in_waiting(
        self, runtime: Runtime, label: str, step: Step, waiting: Sequence[Row], counts: Counts
    ) -> None:
        begins = {micros(row[START]) for row in waiting}
        self._compute(runtime, label, step, begins, counts, closing=False)

    def _touched(self, step: Step, source: EventSource, news: News) -> tuple[set[int], list[Row]]:
        """The beginnings of the windows that news touch, and the events that are too late."""
        begins: set[int] = set()
        late: list[Row] = []
        for events in news:
            of_each = self.window.begins(instants(events, source.time).to_numpy())
            too_late = of_each + self.window.size_us <= self.waiting_since(step)
            begins |= {*np.unique(of_each[~too_late]).tolist()}
            for place, nth in np.argwhere(too_late).tolist():
                (event,) = events.slice(place, 1).to_pylist()
                begin = int(of_each[place, nth])
                window = Span(begin, begin + self.window.size_us)
                late.append(late_row(step, source, event, window, None))
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
        *,
        closing: bool,
    ) -> None:
        """Compute windows anew, and commit them with what the step has to record."""
        source, lake = self.sources[label], runtime.lake
        wanted: list[Row] = []
        where = self.closed_by(label, step) if closing else []
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
        self.replace(lake, held, wanted, step.marks if closing else {}, counts)
