"""Alerts: what patterns over events have found, raised once and retracted when it no longer holds.

Belongs here: the table of alerts and what late events do to it. Does not: how a pattern is matched
(`cep`).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aquifer.cep import Found, Pattern, Row
from aquifer.contract import Contract
from aquifer.instants import micros
from aquifer.lake import DELETED
from aquifer.runtime import Runtime
from aquifer.stream_table import Counts, StreamTable, step_of

MADE = ("alert_id", "rule", "key", "first_at", "last_at", "event_ids", "details")
"""The columns of an alert that what it matched decides; others are carried from the last event."""

RAISED, RETRACTED = "raised_at", "retracted_at"


@dataclass(frozen=True)
class AlertTable(StreamTable):
    """A row a match of a pattern, which stays when late events undo it, with `retracted_at`.

    The contract has the columns `MADE`, `raised_at` and `retracted_at`; others are taken from the
    event that completes the match.

    Args:
        patterns: what is looked for.
    """

    patterns: Sequence[Pattern]

    @property
    def upstreams(self) -> Sequence[str]:
        return list(dict.fromkeys(pattern.reads.name for pattern in self.patterns))

    @property
    def code(self) -> str:
        return repr([(type(p).__name__, p.rule, p.kinds, p.over, p.by) for p in self.patterns])

    def take_in(self, runtime: Runtime, counts: Counts) -> None:
        for upstream in self.upstreams:
            step = step_of(runtime.lake, self.name, upstream)
            if step.upto <= step.since:
                continue
            patterns = [pattern for pattern in self.patterns if pattern.reads.name == upstream]
            news = patterns[0].reads.news(runtime, step.since, step.upto)
            counts.events += len(news.events)
            before: list[Row] = []
            after: list[Row] = []
            for pattern in patterns:
                raised = self.held(runtime.lake, [[("rule", "=", pattern.rule)]])
                touches = pattern.touched(runtime, step.since, step.upto, news)
                standing = [row for row in raised if row[RETRACTED] is None]
                found = pattern.find(runtime, touches, standing, self._carried)
                before += [row for row in raised if _in_scope(row, found)]
                after += self._rows(pattern.rule, found)
            now = datetime.now(UTC)
            self.replace(runtime.lake, before, _kept(before, after, now), step.marks, counts)

    def take_in_late(self, runtime: Runtime, counts: Counts) -> None:
        """No event is too late for an alert."""

    @property
    def _carried(self) -> str:
        made = {*MADE, RAISED, RETRACTED}
        return ", ".join(column for column in self.columns if column not in made)

    def _rows(self, rule: str, found: Found) -> Iterable[Row]:
        for match in found.matches:
            what = "|".join([rule, match["key"], *match["event_ids"]])
            yield {
                **match,
                "alert_id": hashlib.sha256(what.encode()).hexdigest()[:32],
                "rule": rule,
                DELETED: False,
            }


def _in_scope(row: Row, found: Found) -> bool:
    span = found.scope.get(row["key"])
    return span is not None and span.begin <= micros(row["last_at"]) <= span.end


def _kept(before: Iterable[Row], after: Iterable[Row], now: datetime) -> list[Row]:
    """The alerts as they are to stand: raised anew, raised before, or retracted."""
    held = {row["alert_id"]: row for row in before}
    found = {row["alert_id"]: row for row in after}
    standing = {
        alert: held[alert]
        if alert in held and held[alert][RETRACTED] is None
        else {**row, RAISED: now, RETRACTED: None}
        for alert, row in found.items()
    }
    retracted = [
        row if row[RETRACTED] is not None else {**row, RETRACTED: now}
        for alert, row in held.items()
        if alert not in found
    ]
    return [*standing.values(), *retracted]


def alerts(
    contract: type[Contract], *, every: timedelta
) -> Callable[[Callable[[], Sequence[Pattern]]], AlertTable]:
    """Declare a table of alerts by a function that gives its patterns; its name is the table's."""

    def declare(patterns: Callable[[], Sequence[Pattern]]) -> AlertTable:
        return AlertTable(f"stream.{patterns.__name__}", contract, patterns(), every=every)

    return declare
