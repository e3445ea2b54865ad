"""Sequences: an event that happens several times within a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from aquifer.cep import Found, Pattern, Row, Touch, described, microseconds, scope_of
from aquifer.runtime import Runtime
from aquifer.spans import Span


@dataclass(frozen=True)
class Repeated(Pattern):
    """An event that happens so many times within a time, by key.

    A match is the first so many of a burst: the burst goes on while each further event is again
    the last of so many within the time, and is one match.

    Args:
        of: SQL that is true for the event.
        times: how many times, two at least.
        within: from the first to the last of them at most.
    """

    of: str
    times: int
    within: timedelta

    @property
    def kinds(self) -> Mapping[str, str]:
        return {"of": self.of}

    def find(
        self, runtime: Runtime, touches: Sequence[Touch], raised: Sequence[Row], carried: str
    ) -> Found:
        # An event is among those of a match that ends within the time, or before those of one.
        within, reach = microseconds(self.within), 2 * microseconds(self.within)
        scope = scope_of((t.key, Span(t.at, t.at + reach)) for t in touches)
        if not scope:
            return Found([], {})
        spans = [Span(begin - reach, end + 1) for begin, end in scope.values()]
        order = f"over (partition by _key order by _at, {self.reads.id})"
        ids = [f"lag({self.reads.id}, {n}) {order}" for n in reversed(range(1, self.times))]
        scoped = self.scoped(runtime, scope, spans, "of")
        rows = runtime.session.sql(
            f"{scoped}, ranked as ("
            f"select *, array({', '.join([*ids, self.reads.id])}) as _ids, "
            f"lag(_at, {self.times - 1}) {order} as _first, lag(_at, 1) {order} as _before, "
            f"lag(_at, {self.times}) {order} as _earlier from scoped) "
            f"select _key, _ids, _first, _at as _last, {self.details} as details, {carried} "
            f"from ranked where _at - _first <= {within} "
            f"and not coalesce(_before - _earlier <= {within}, false) "
            "and _at >= _from and _at <= _to"
        )
        return Found(described(rows.toArrow().to_pylist()), scope)
