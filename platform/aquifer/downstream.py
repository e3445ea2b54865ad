"""Downstream of the drain: windows, patterns and marts, kept up with the events that it takes in.

Belongs here: which table is advanced when. Does not: how (each table's own `advance`, the models of
dbt).

They recompute whole groups, seconds at a time: a run of its own, with an engine of its own and a
lower priority, lets new rows pass.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from aquifer.flow import Flow
from aquifer.gold import Gold
from aquifer.lake import NOTHING, Lake
from aquifer.loops import Loop
from aquifer.stream_table import Stalled, StreamTable

LOOK_SECONDS = 1.0
"""How often to look for what has come in."""

MARTS_SECONDS = 30.0
"""How often marts follow, and all tests."""

MARTS = "marts"


@dataclass(kw_only=True)
class Downstream(Flow):
    """What is made from the tables that a drain fills.

    Args:
        streams: tables of windows and patterns.
    """

    streams: Sequence[StreamTable]
    _seen: dict[str, int] = field(default_factory=dict)
    _checked: dict[str, int] = field(default_factory=dict)

    def loops(self) -> list[Loop]:
        return [
            Loop("news", self._news, pause=LOOK_SECONDS),
            Loop("streams", self._advance, pause=LOOK_SECONDS),
            Loop("marts", self._follow, pause=LOOK_SECONDS),
        ]

    def _news(self, last: bool) -> bool:
        before = self._seen
        followed = [*self._events, *self.gold.appended(self._events)]
        self._seen = {name: self._lake.seq(name) for name in followed}
        return self._seen != before

    def _advance(self, last: bool) -> bool:
        found = False
        for table in self.streams:
            if (last or self._is_due(table.name)) and self._lags(table):
                self._begin(table.name, table.every.total_seconds())
                try:
                    if not table.waits(self.runtime):
                        found |= self._added(table.advance(self.runtime))
                except Stalled as error:
                    self.tally.stall(table.name, str(error))
        return found

    def _follow(self, last: bool) -> bool:
        if not (last or self._is_due(MARTS)):
            return False
        facts = {name: self._lake.seq(name) for name in self.gold.appended(self._events)}
        unchecked = [name for name, seq in facts.items() if seq > self._checked.get(name, NOTHING)]
        for name in unchecked:
            self._noted(self.gold.check(self.runtime, self.remote, name))
        self._checked = facts
        if behind := marts_behind(self._lake, self.gold, self._events):
            self._build(behind)
        if unchecked or behind:
            self._begin(MARTS, MARTS_SECONDS)
        return bool(unchecked or behind)

    def _lags(self, table: StreamTable) -> bool:
        return lags(self._lake, table, {*self._events, *(each.name for each in self.streams)})


def lags(lake: Lake, table: StreamTable, live: Collection[str]) -> bool:
    """Whether a table has yet to take in something of those that follow events."""
    upstreams = [name for name in table.upstreams if name in live]
    return any(lake.lags(table.name, name) for name in upstreams)


def marts_behind(lake: Lake, gold: Gold, streams: Collection[str]) -> list[str]:
    """The tables that have yet to take in facts which have come of a stream."""
    marts = gold.hanging_on(streams)
    return [
        name
        for fact in gold.appended(streams)
        for name in marts
        if fact in gold.upstreams[name]
        and lake.lags(name, fact)
        # Else they are of a batch, whose own run goes on to the marts.
        and any(
            seq > lake.progress(name, stream)
            for stream, seq in gold.appended_to(lake, fact).items()
            if stream in streams
        )
    ]
