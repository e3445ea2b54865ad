"""Snapshots of a captured database: at times its connector tells all that it holds, from the start.

It does so at first, and when it cannot go on where it was: its position was lost, or the database
went back to an earlier state. What such a snapshot lacks is no more, though no delete says so.

Belongs here: when the last was, as the connector tells. Does not: what tables make of it (`merge`).
"""

import json
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from aquifer.lake import Lake

BEGIN, END = "snapshot/begin", "snapshot/end"
"""Application transactions of a bronze table that holds all of a snapshot: when it was taken."""


class SourceSnapshot(NamedTuple):
    """When a snapshot was taken, in microseconds by the connector's clock."""

    begin_us: int
    end_us: int


def told(notifications: Iterable[bytes]) -> dict[str, int]:
    """The marks of the last snapshot that Debezium's notifications tell to be complete."""
    steps = sorted(
        (int(step["timestamp"]), step["type"] != "STARTED", step["type"])
        for step in map(json.loads, notifications)
        if step["aggregate_type"] == "Initial Snapshot"
    )
    marks: dict[str, int] = {}
    begin = 0
    for at, _, type_ in steps:
        if type_ == "STARTED":
            begin = at
        elif type_ == "COMPLETED":
            # Changes are timed in microseconds, these only in milliseconds.
            marks = {BEGIN: begin * 1000, END: at * 1000 + 999}
    return marks


def snapshot_of(lake: Lake, bronze: str) -> SourceSnapshot | None:
    """The last snapshot that a bronze table holds, whole; None: there is none."""
    marks: Mapping[str, int] = lake.marks(bronze, [BEGIN, END])
    return SourceSnapshot(marks[BEGIN], marks[END]) if marks else None
