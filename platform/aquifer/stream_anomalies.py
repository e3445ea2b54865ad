"""Anomalies: windows that are far from what the same key has had of late.

Belongs here: the robust z-score of closed windows. Does not: the windows (`stream_windows`).

The score is Iglewicz and Hoaglin's: how far a value is from the median of the history, in standard
deviations estimated from the median absolute deviation; where that is 0, as more than half of the
values are equal, from the mean absolute deviation. It hardly moves with the anomalies themselves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from aquifer.contract import Contract, seconds
from aquifer.instants import instant, micros
from aquifer.lake import DELETED, SEQUENCE
from aquifer.reading import Condition
from aquifer.runtime import Runtime
from aquifer.spans import Span, joined, within
from aquifer.stream_table import Counts, StreamTable
from aquifer.stream_windows import END, FINAL, START, WindowedTable
from aquifer.windows import MICROSECOND

EVERY = seconds(10)


@dataclass(frozen=True)
class AnomalyTable(StreamTable):
    """A row a closed window whose score is beyond a limit.

    The contract's columns are `window_start`, `window_end`, the key's, `observed`, `expected` (the
    median), `spread` (the standard deviation), `score`, `side` (`above` or `below`) and `history`
    (how many windows it was compared with).

    Args:
        reads: the table of windows.
        value: the column that is compared.
        by: the columns of whose windows are compared with each other.
        over: how far the history goes back.
        at_least: windows of history without which there is no verdict.
        beyond: the limit of the score, in standard deviations.
    """

    reads: WindowedTable
    value: str
    by: Sequence[str]
    over: timedelta
    at_least: int
    beyond: float

    @property
    def upstreams(self) -> Sequence[str]:
        return [self.reads.name]

    @property
    def code(self) -> str:
        return repr((self.value, self.by, self.over, self.at_least, self.beyond))

    def take_in(self, runtime: Runtime, counts: Counts) -> None:
        lake, name = runtime.lake, self.reads.name
        since, upto = lake.progress(self.name, name), lake.seq(name)
        if upto <= since:
            return
        new: list[Condition] = [(SEQUENCE, ">", since), (SEQUENCE, "<=", upto)]
        changed = lake.read(name, [START, FINAL, DELETED], new).to_pylist()
        counts.events += len(changed)
        closed = [micros(row[START]) for row in changed if row[FINAL] or row[DELETED]]
        # What is changed is history of what follows.
        spans = joined(Span(begin, begin + self.over // MICROSECOND + 1) for begin in set(closed))
        held = self.held(
            lake,
            [[(START, ">=", instant(s.begin)), (START, "<", instant(s.end))] for s in spans],
        )
        wanted = self.computed(runtime, self._scored(spans)) if spans else []
        self.replace(lake, held, wanted, {name: upto}, counts)

    def take_in_late(self, runtime: Runtime, counts: Counts) -> None:
        """The windows have taken in what is late, and changed with it."""

    def _scored(self, spans: Sequence[Span]) -> str:
        """SQL of the anomalies among windows that begin in spans."""
        by, back = ", ".join(self.by), self.over // MICROSECOND
        read = joined(Span(span.begin - back, span.end) for span in spans)
        keyed = [f"a.{column} = h.{column}" for column in self.by]
        before = f"{' and '.join(keyed)} and h._begin < a._begin and h._begin >= a._begin - {back}"
        looked_at = " or ".join(
            f"(a._begin >= {span.begin} and a._begin < {span.end})" for span in spans
        )
        each = ", ".join(f"a.{column}" for column in (*self.by, START, END, "_begin", "observed"))
        distance = "abs(cast(h.observed as double) - a.expected)"
        return (
            f"with windows as (select {by}, {START}, {END}, unix_micros({START}) as _begin, "
            f"sum({self.value}) as observed from {self.reads.name} "
            f"where not {DELETED} and {FINAL} and {within(START, read)} "
            f"group by {by}, {START}, {END}), "
            f"medians as (select {each}, count(*) as history, "
            f"percentile(cast(h.observed as double), 0.5) as expected "
            f"from windows a join windows h on {before} where {looked_at} group by {each}), "
            f"spreads as (select {each}, a.history, a.expected, "
            f"percentile({distance}, 0.5) * 1.4826D as _of_median, "
            f"avg({distance}) * 1.2533D as _of_mean "
            f"from medians a join windows h on {before} group by {each}, a.history, a.expected), "
            "scored as (select *, round(case when _of_median > 0 then _of_median else _of_mean end,"
            " 6) as spread from spreads) "
            "select *, round((cast(observed as double) - expected) / spread, 6) as score, "
            "case when observed > expected then 'above' else 'below' end as side from scored "
            f"where history >= {self.at_least} and spread > 0 "
            f"and abs(cast(observed as double) - expected) > {self.beyond!r}D * spread"
        )


def anomalies(
    name: str,
    contract: type[Contract],
    *,
    reads: WindowedTable,
    value: str,
    by: Sequence[str],
    over: timedelta,
    at_least: int = 20,
    beyond: float = 3.5,
) -> AnomalyTable:
    """Declare a table of anomalies; see `AnomalyTable`."""
    compared = (reads, value, by, over, at_least, beyond)
    return AnomalyTable(f"stream.{name}", contract, *compared, every=EVERY)
