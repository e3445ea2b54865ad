"""Patterns over events (CEP): what they share, keyed and bounded in time.

Belongs here: how a pattern is declared, and which of its rows new events touch. Does not: what each
pattern looks for (`cep_sequence`, `cep_absence`, `cep_sustained`), and the table of alerts
(`stream_alerts`).

A pattern is matched anew around what events touch, so that late events raise and retract alerts as
they would have in order. What it finds depends on the events alone, never on when they came.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import pyarrow as pa

from aquifer.engine import literals
from aquifer.event_source import EventSource, News
from aquifer.instants import instant
from aquifer.lake import SEQUENCE
from aquifer.runtime import Runtime
from aquifer.spans import Span, held_instant, joined
from aquifer.windows import MICROSECOND

Row = dict[str, Any]

_SCOPE = pa.schema(
    [
        ("_scope", pa.string()),
        ("_from", pa.timestamp("us", "UTC")),
        ("_to", pa.timestamp("us", "UTC")),
    ]
)


class Touch(NamedTuple):
    """An event that bears on a pattern.

    Attributes:
        key: whose pattern.
        kind: the part that the event plays.
        at: when it happened, in microseconds since 1970.
        gone: whether it stands no more.
    """

    key: str
    kind: str
    at: int
    gone: bool


class Found(NamedTuple):
    """What a pattern says of a stretch of time.

    Attributes:
        matches: rows with `key`, `first_at`, `last_at`, `event_ids`, `details` and what is carried.
        scope: for each key looked at, from when to when the matches that end there are all.
    """

    matches: Sequence[Row]
    scope: Mapping[str, Span]


@dataclass(frozen=True)
class Pattern(ABC):
    """A pattern over the events of a source.

    Args:
        rule: its name.
        reads: the source.
        by: the columns that make the key.
        details: SQL of what is said of a match, over the row that completes it.
        over: SQL over `events`, beginning `select *`, of the rows that are looked at.
    """

    rule: str
    reads: EventSource
    by: Sequence[str]
    details: str
    over: str = field(default="select * from events", kw_only=True)

    @property
    @abstractmethod
    def kinds(self) -> Mapping[str, str]:
        """The parts that rows play, each with SQL that is true for the rows that do."""

    @abstractmethod
    def find(
        self, runtime: Runtime, touches: Sequence[Touch], raised: Sequence[Row], carried: str
    ) -> Found:
        """The matches around what is touched.

        Args:
            raised: the pattern's alerts that stand.
            carried: the columns that a match takes from the row that completes it.
        """

    def touched(self, runtime: Runtime, since: int, upto: int, news: News) -> list[Touch]:
        """What news of the source touch."""
        columns = ", ".join(f"`{name}`" for name in news.gone.column_names if name != SEQUENCE)
        events = (
            f"select {columns}, false as _gone from {self.reads.name} "
            f"where {SEQUENCE} > {since} and {SEQUENCE} <= {upto}"
        )
        if len(news.gone):
            gone = runtime.named("events_gone", news.gone.to_pylist(), news.gone.schema)
            events += f" union all select {columns}, true as _gone from {gone}"
        rows = runtime.session.sql(
            f"with events as ({events}) "
            f"select distinct _key, _kind, _at, _gone from ({self.rows()}) where _kind is not null"
        )
        return [
            Touch(row["_key"], row["_kind"], row["_at"], row["_gone"])
            for row in rows.toArrow().to_pylist()
        ]

    def rows(self) -> str:
        """SQL over `events` of the rows that are looked at, with `_key`, `_kind` and `_at`."""
        kinds = " ".join(f"when {when} then '{kind}'" for kind, when in self.kinds.items())
        return (
            f"select *, concat_ws('|', {', '.join(self.by)}) as _key, case {kinds} end as _kind, "
            f"unix_micros({self.reads.time}) as _at from ({self.over})"
        )

    def scoped(
        self, runtime: Runtime, scope: Mapping[str, Span], spans: Iterable[Span], *kinds: str
    ) -> str:
        """Common table expressions for the rows of keys in spans of time.

        They are `events`, and `scoped`: rows of these kinds with `_from` and `_to`, the bounds of
        the key's scope.
        """
        rows = [
            {"_scope": key, "_from": held_instant(b), "_to": held_instant(e)}
            for key, (b, e) in scope.items()
        ]
        view = runtime.named("pattern_scope", rows, _SCOPE)
        return (
            f"with events as ({self.reads.standing(runtime, joined(spans))}), "
            f"scoped as (select r.*, unix_micros(s._from) as _from, unix_micros(s._to) as _to "
            f"from ({self.rows()}) r join {view} s on r._key = s._scope "
            f"where r._kind in ({literals(kinds)}))"
        )


def scope_of(touches: Iterable[tuple[str, Span]]) -> dict[str, Span]:
    """Of each key one span, which holds all that are given of it."""
    found: dict[str, Span] = {}
    for key, span in touches:
        held = found.get(key, span)
        found[key] = Span(min(held.begin, span.begin), max(held.end, span.end))
    return found


def microseconds(duration: timedelta) -> int:
    """A duration in microseconds."""
    return duration // MICROSECOND


def described(rows: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows of a query as matches: instants from `_first` and `_last`."""
    return [
        {
            "key": row["_key"],
            "first_at": instant(row["_first"]),
            "last_at": instant(row["_last"]),
            "event_ids": [event for event in row["_ids"]],
            **{name: value for name, value in row.items() if not name.startswith("_")},
        }
        for row in rows
    ]
