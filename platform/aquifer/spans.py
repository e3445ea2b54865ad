"""Spans of time: what of a table has to be looked at, in literals by which engines prune.

Belongs here: spans and their SQL. Does not: windows, which are what a table computes (`windows`).
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from aquifer.column_types import COLUMN_TYPES, Timestamp
from aquifer.instants import instant, micros
from aquifer.lake import MONTH

MOST = 32
"""Spans that one query names; of more, the nearest are joined."""

_LEAST, _MOST = (micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (1900, 9999))


class Span(NamedTuple):
    """A half-open span of time, in microseconds since 1970."""

    begin: int
    end: int


def joined(spans: Iterable[Span]) -> list[Span]:
    """The spans in order, those that touch made one, and the nearest ones if they are many."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.begin <= found[-1].end:
            found[-1] = Span(found[-1].begin, max(found[-1].end, span.end))
        else:
            found.append(span)
    while len(found) > MOST:
        gaps = [later.begin - former.end for former, later in pairwise(found)]
        place = gaps.index(min(gaps))
        found[place : place + 2] = [Span(found[place].begin, found[place + 1].end)]
    return found


def held_instant(ts_us: int) -> datetime:
    """The instant, or the nearest that a table holds."""
    return instant(min(max(ts_us, _LEAST), _MOST))


def literal_instant(ts_us: int) -> str:
    """The instant, or the nearest that a table holds, as a Spark SQL literal."""
    return str(COLUMN_TYPES[Timestamp].literal(held_instant(ts_us)))


def within(time: str, spans: Sequence[Span], partition: str = MONTH) -> str:
    """SQL that is true for the rows of spans, of a table that is partitioned by their month."""
    if not spans:
        return "false"
    first, last = (
        held_instant(ts_us).strftime("%Y-%m")
        for ts_us in (spans[0].begin, max(span.end for span in spans))
    )
    each = " or ".join(
        f"({time} >= {literal_instant(span.begin)} and {time} < {literal_instant(span.end)})"
        for span in spans
    )
    return f"{partition} between '{first}' and '{last}' and ({each})"
