"""Absence: an event before which another should have happened, and has not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pyarrow as pa

from aquifer.cep import Found, Pattern, Row, Touch, described, microseconds, scope_of
from aquifer.instants import micros
from aquifer.runtime import Runtime
from aquifer.spans import Span

_CANDIDATE = pa.schema([("_key", pa.string()), ("_at", pa.int64())])

SHARES = (720, 1)
"""What parts of the time are looked at, one after another: most is found soon before."""


@dataclass(frozen=True)
class Absence(Pattern):
    """An event with no other within a time before it, by key.

    Args:
        of: SQL that is true for the event.
        without: SQL that is true for the other.
        within: how long before the event the other counts, the instant of the event included.
    """

    of: str
    without: str
    within: timedelta

    @property
    def kinds(self) -> Mapping[str, str]:
        return {"of": self.of, "without": self.without}

    def find(
        self, runtime: Runtime, touches: Sequence[Touch], raised: Sequence[Row], carried: str
    ) -> Found:
        scope = scope_of(self._looked_at(touches, raised))
        if not scope:
            return Found([], {})
        spans = [Span(begin, end + 1) for begin, end in scope.values()]
        scoped = self.scoped(runtime, scope, spans, "of")
        rows = runtime.session.sql(
            f"{scoped} "
            f"select _key, {self.reads.id} as _id, _at, max({self.details}) as details, {carried} "
            f"from scoped where _at >= _from and _at <= _to "
            f"group by _key, {self.reads.id}, _at, {carried}"
        )
        candidates = rows.toArrow().to_pylist()
        for share in SHARES:
            if candidates:
                found = self._found(runtime, candidates, microseconds(self.within) // share)
                candidates = [row for row in candidates if (row["_key"], row["_at"]) not in found]
        matches = [
            {**row, "_ids": [row["_id"]], "_first": row["_at"], "_last": row["_at"]}
            for row in candidates
        ]
        return Found(described(matches), scope)

    def _looked_at(self, touches: Sequence[Touch], raised: Sequence[Row]) -> list[tuple[str, Span]]:
        """Events are looked at that are new, and those for which another has come or gone."""
        reach = microseconds(self.within)
        spans = []
        alerts: dict[str, list[int]] = {}
        for alert in raised:
            alerts.setdefault(alert["key"], []).append(micros(alert["last_at"]))
        for key, kind, at, gone in touches:
            if kind == "of":
                spans.append((key, Span(at, at)))
            elif gone:
                spans.append((key, Span(at, at + reach)))
            else:
                spans += [(key, Span(a, a)) for a in alerts.get(key, []) if at <= a <= at + reach]
        return spans

    def _found(
        self, runtime: Runtime, candidates: Sequence[Row], reach: int
    ) -> set[tuple[str, int]]:
        """The candidates before which the other has happened, so long before at most."""
        view = runtime.named("pattern_candidates", candidates, _CANDIDATE)
        scope = {row["_key"]: Span(0, 0) for row in candidates}
        spans = [Span(row["_at"] - reach, row["_at"] + 1) for row in candidates]
        scoped = self.scoped(runtime, scope, spans, "without")
        rows = runtime.session.sql(
            f"{scoped} "
            f"select distinct c._key, c._at from {view} c join scoped r on c._key = r._key "
            f"where r._at <= c._at and r._at >= c._at - {reach}"
        )
        return {(row["_key"], row["_at"]) for row in rows.toArrow().to_pylist()}
