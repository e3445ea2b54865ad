"""Events that came too late: kept beside the table whose windows they belong to.

Belongs here: the side table `<table>_late`. Does not: when an event is too late (`stream_windows`,
`stream_sessions`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from aquifer.contract import Contract, Field, Key, Timestamp, arrow_schema, hours, table
from aquifer.event_source import EventSource
from aquifer.instants import instant
from aquifer.lake import SEQUENCE, Lake
from aquifer.reading import Condition
from aquifer.spans import Span
from aquifer.stream_table import Row, Step


class LateEvent(Contract):
    """An event that came after its window had been closed for longer than is allowed."""

    source: str = Key(description="silver table of the event")
    event_id: str = Key(description="the event")
    event_seq: int = Key(description="commit of the silver table by which it was noticed")
    window_start: Timestamp = Key(description="beginning of the window that it belongs to")
    window_end: Timestamp = Field(description="end of that window, at the latest")
    event_time: Timestamp = Field(description="instant by the event's clock, UTC")
    key: str | None = Field(description="key of its session, as JSON; null for other windows")
    watermark: Timestamp = Field(description="watermark before the event was taken in")
    taken_in: bool = Field(description="whether the window has taken it in since")

    class Config:
        metadata = table(
            owner="team:platform",
            grain="an event that is too late for a window",
            fresh_within=hours(24),
        )


@dataclass(frozen=True)
class LateEvents:
    """The side table of a stream table."""

    of: str

    @property
    def name(self) -> str:
        return f"{self.of}_late"

    def ensure(self, lake: Lake) -> None:
        lake.ensure(self.name, arrow_schema(LateEvent))

    def put_aside(self, lake: Lake, rows: Sequence[Row]) -> None:
        """Keep events; those that are here are left as they are."""
        if not rows:
            return
        known = {_key(row) for row in self._rows(lake, [("event_id", "in", _ids(rows))])}
        new = {_key(row): row for row in rows if _key(row) not in known}
        if new:
            schema = arrow_schema(LateEvent)
            lake.append(self.name, pa.Table.from_pylist([*new.values()], schema), {})

    def waiting(self, lake: Lake, source: str) -> list[Row]:
        """The events of a source that no window has taken in."""
        if not lake.exists(self.name):
            return []
        return self._rows(lake, [("source", "=", source), ("taken_in", "=", False)])

    def taken_in(self, lake: Lake, rows: Iterable[Row]) -> None:
        """Mark events that were waiting."""
        taken = [{**row, "taken_in": True} for row in rows]
        if taken:
            table = pa.Table.from_pylist(taken, arrow_schema(LateEvent))
            keys = ["source", "event_id", "event_seq", "window_start"]
            lake.merge(self.name, table, keys, "not t.taken_in", {})

    def _rows(self, lake: Lake, where: Sequence[Condition]) -> list[Row]:
        rows: list[Row] = lake.read(self.name, arrow_schema(LateEvent).names, where).to_pylist()
        return rows


def late_row(step: Step, source: EventSource, event: Row, window: Span, key: str | None) -> Row:
    """An event that is too late for a window."""
    # What stood before has no commit: it is noticed by what replaces or takes it back.
    seq = event[SEQUENCE] if event[SEQUENCE] is not None else step.upto
    return {
        "source": source.name,
        "event_id": event[source.id],
        "event_seq": seq,
        "window_start": instant(window.begin),
        "window_end": instant(window.end),
        "event_time": event[source.time],
        "key": key,
        "watermark": instant(step.before),
        "taken_in": False,
    }


def _ids(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({row["event_id"] for row in rows})


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("source", "event_id", "event_seq", "window_start"))
