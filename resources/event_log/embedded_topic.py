"""The database of one topic of the embedded event log: its tables, appending, retention.

Belongs here: what is done within a transaction of one topic. Does not: which topics there are
(`embedded`), how a batch is packed (`batches`).
"""

import json
import sqlite3
import time
from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aquifer.eventlog import EVENTS
from resources.event_log.batches import numbered, packed
from resources.sqlite import transaction

EXPIRED_AT_ONCE = 64
"""Batches that one produce forgets at most, so that none takes long."""

SHRUNK_AT_ONCE = 1_000
"""Pages of the file that one produce gives back at most."""

TABLES = """
create table if not exists topic (retention_us integer not null);
create table if not exists partition (
    partition integer primary key, begin_offset integer not null, end_offset integer not null
);
create table if not exists batch (
    batch integer primary key, appended_us integer not null, payload blob not null
);
create table if not exists start (
    partition integer not null, base_offset integer not null, batch integer not null,
    primary key (partition, base_offset)
) without rowid;
create table if not exists consumer_group (
    name text not null, partition integer not null, committed_offset integer not null,
    primary key (name, partition)
) without rowid;
"""
"""`start` tells the batch in which a partition goes on from an offset."""

FIRST_BATCH = """
select min((
    select s.batch from start s
    where s.partition = p.partition and s.base_offset <= max(w.value, p.begin_offset)
    order by s.base_offset desc limit 1
))
from json_each(?) w join partition p on p.partition = w.key
where max(w.value, p.begin_offset) < p.end_offset
"""

FIRST_KEPT = """
select (select min(batch) from batch), coalesce(
    (select batch from batch where appended_us >= ? - (select retention_us from topic)
        order by batch limit 1),
    (select max(batch) from batch)
)
"""


def create(connection: sqlite3.Connection, partitions: int, retention: timedelta) -> None:
    """Create the tables, unless another process has."""
    with transaction(connection):
        for statement in TABLES.split(";"):
            connection.execute(statement)
        if connection.execute("select count(*) from topic").fetchone() == (0,):
            connection.execute(
                "insert into topic values (?)", (retention // timedelta(microseconds=1),)
            )
            connection.executemany(
                "insert into partition values (?, 0, 0)", [(n,) for n in range(partitions)]
            )


def ends_of(connection: sqlite3.Connection) -> dict[int, int]:
    """For each partition, the offset that the next event will have."""
    return dict(connection.execute("select partition, end_offset from partition").fetchall())


def first_batch(connection: sqlite3.Connection, offsets: Mapping[int, int]) -> int | None:
    """The first batch that holds events at or after the offsets, or None."""
    found: int | None
    (found,) = connection.execute(FIRST_BATCH, (json.dumps(dict(offsets)),)).fetchone()
    return found


def append(
    connection: sqlite3.Connection,
    events: pa.RecordBatch,
    placed: npt.NDArray[np.int64],
    ends: Mapping[int, int],
) -> dict[int, int]:
    """Store one batch; the ends of all partitions after it."""
    counts = np.bincount(placed, minlength=len(ends))
    before = np.array([ends[partition] for partition in range(len(ends))])
    batch = pa.record_batch(
        [pa.array(placed), pa.array(numbered(placed, counts, before)), *events.columns],
        schema=EVENTS,
    )
    number = connection.execute(
        "insert into batch values (null, ?, ?)", (_now_us(), packed(batch))
    ).lastrowid
    touched = np.flatnonzero(counts).tolist()
    connection.executemany(
        "insert into start values (?, ?, ?)", [(n, int(before[n]), number) for n in touched]
    )
    return dict(enumerate((before + counts).tolist()))


def expire(connection: sqlite3.Connection) -> None:
    """Forget the oldest batches that have had their time, counted from when they were appended."""
    oldest, kept = connection.execute(FIRST_KEPT, (_now_us(),)).fetchone()
    if oldest == kept:
        return
    first = min(kept, oldest + EXPIRED_AT_ONCE)
    connection.execute("delete from batch where batch < ?", (first,))
    connection.execute(
        "update partition set begin_offset = coalesce((select s.base_offset from start s "
        "where s.partition = partition.partition and s.batch >= ? order by s.base_offset limit 1), "
        "end_offset)",
        (first,),
    )
    connection.executemany(
        "delete from start where partition = ? and base_offset < ?",
        connection.execute("select partition, begin_offset from partition").fetchall(),
    )


def shrink(connection: sqlite3.Connection) -> None:
    """Give back what a burst has left free, a little at a time; the rest is used again."""
    (pages,) = connection.execute("pragma page_count").fetchone()
    (free,) = connection.execute("pragma freelist_count").fetchone()
    if free > max(pages // 2, SHRUNK_AT_ONCE):
        # As a script: `execute` takes one step of it, which is one page.
        connection.executescript(f"pragma incremental_vacuum({SHRUNK_AT_ONCE})")


def _now_us() -> int:
    return time.time_ns() // 1000
