"""Sustained states: what goes on for a time, unless something else happens meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aquifer.cep import Found, Pattern, Row, Touch, described, microseconds, scope_of
from aquifer.contract import days, minutes
from aquifer.instants import micros
from aquifer.runtime import Runtime
from aquifer.spans import Span

REACHES = (minutes(15), minutes(120), days(1), days(30))
"""How far back the end of the run before is looked for, one after another."""

FIRST, LAST = (micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (1900, 9999))


@dataclass(frozen=True)
class Sustained(Pattern):
    """A state that each reading confirms for a time, by key, from the first reading of its run on.

    A run is ended by a reading of another state. A match is the first reading and the one with
    which the time is over; there is none if what breaks it happens between the two.

    Args:
        of: SQL that is true for a reading of the state.
        ends: SQL that is true for a reading of another.
        unless: SQL that is true for what breaks it.
        lasting: how long.
    """

    of: str
    ends: str
    unless: str
    lasting: timedelta

    @property
    def kinds(self) -> Mapping[str, str]:
        return {"of": self.of, "ends": self.ends, "unless": self.unless}

    def find(
        self, runtime: Runtime, touches: Sequence[Touch], raised: Sequence[Row], carried: str
    ) -> Found:
        earliest = scope_of((touch.key, Span(touch.at, touch.at)) for touch in touches)
        scope: dict[str, Span] = {}
        for reach in (*map(microseconds, REACHES), None):
            unknown = {key: span for key, span in earliest.items() if key not in scope}
            if unknown:
                scope |= self._runs_since(runtime, unknown, reach)
        return Found(self._matches(runtime, scope, carried) if scope else [], scope)

    def _runs_since(
        self, runtime: Runtime, earliest: Mapping[str, Span], reach: int | None
    ) -> dict[str, Span]:
        """Of keys, from when on runs are looked at: from an end of one before what is touched.

        Args:
            reach: how far back that end is looked for. Without, all runs of a key are looked at.
        """
        if reach is None:
            return {key: Span(FIRST, LAST) for key in earliest}
        spans = [Span(begin - reach, begin) for begin, _ in earliest.values()]
        scoped = self.scoped(runtime, earliest, spans, "ends")
        rows = runtime.session.sql(
            f"{scoped} select _key, max(_at) as _ended from scoped where _at < _from group by _key"
        )
        return {row["_key"]: Span(row["_ended"], LAST) for row in rows.toArrow().to_pylist()}

    def _matches(self, runtime: Runtime, scope: Mapping[str, Span], carried: str) -> list[Row]:
        """The matches of all runs of keys that begin within their scopes."""
        scoped = self.scoped(runtime, scope, scope.values(), *self.kinds)
        order, run = f"order by _at, {self.reads.id}", "partition by _key, _run"
        state = "case when _kind = 'of' then"
        rows = runtime.session.sql(
            f"{scoped}, "
            f"numbered as (select *, sum(case when _kind = 'ends' then 1 else 0 end) "
            f"over (partition by _key {order}) as _run from scoped where _at >= _from), "
            f"begun as (select *, min({state} _at end) over ({run}) as _first, "
            f"row_number() over ({run}, _kind {order}) as _nth from numbered), "
            f"runs as (select *, max({state} if(_nth = 1, {self.reads.id}, null) end) "
            f"over ({run}) as _first_id, min(case when _kind = 'unless' and _at >= _first "
            f"then _at end) over ({run}) as _broken from begun), "
            f"over as (select *, row_number() over ({run} {order}) as _place from runs "
            f"where _kind = 'of' and _at - _first >= {microseconds(self.lasting)}) "
            f"select _key, array(_first_id, {self.reads.id}) as _ids, _first, _at as _last, "
            f"{self.details} as details, {carried} from over "
            "where _place = 1 and (_broken is null or _broken > _at)"
        )
        return described(rows.toArrow().to_pylist())
