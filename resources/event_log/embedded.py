"""The embedded event log: a SQLite database a topic, so that writers of several do not wait.

Belongs here: keeping events on this machine for several processes at once. Does not: partitioning
(`partitioner`).

One row holds a batch as it was produced, an Arrow IPC stream, because a row an event would be ten
times slower. A commit is on the disk before `produce` returns: a log that forgot its last events
after a power failure would give their offsets to others, which readers then take for read.
"""

import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from aquifer.errors import SettingError
from aquifer.eventlog import EVENTS, PARTITIONS, PRODUCED, READ_BYTES, RETENTION, UnknownTopic
from resources.event_log.partitioner import partitions_of
from resources.sqlite import connect, lacks, transaction

BATCH_EVENTS = 10_000
BATCH_BYTES = 16 * 1024 * 1024
"""What a stored batch holds at most, unless a single event is larger."""

COMPRESSED_FROM = 16 * 1024
"""Bytes from which a batch is compressed; of smaller ones it takes longer than it spares."""

EXPIRED_AT_ONCE = 64
"""Batches that one produce forgets at most, so that none takes long."""

SHRUNK_AT_ONCE = 1_000
"""Pages of the file that one produce gives back at most."""

TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,200}")

TABLES = """
create table if not exists topic (retention_us integer not null);
create table if not exists partition (
    partition integer primary key, begin_offset integer not null, end_offset integer not null
);
create table if not exists batch (
    batch integer primary key autoincrement, appended_us integer not null, payload blob not null
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
select min(coalesce((
    select s.batch from start s where s.partition = p.partition and s.base_offset <= w.value
    order by s.base_offset desc limit 1
), 0))
from json_each(?) w join partition p on p.partition = w.key where w.value < p.end_offset
"""

FIRST_KEPT = """
select (select min(batch) from batch), coalesce(
    (select batch from batch where appended_us >= ? - (select retention_us from topic)
        order by batch limit 1),
    (select max(batch) from batch)
)
"""


class EmbeddedEventLog:
    """An event log in a folder of this machine.

    Any number of processes may read and write; an object serves the thread that made it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._connections: dict[str, sqlite3.Connection] = {}

    def topics(self) -> Sequence[str]:
        return sorted(
            path.stem for path in self._folder.glob("*.db") if self._existing(path.stem) is not None
        )

    def create_topic(
        self, topic: str, partitions: int = PARTITIONS, retention: timedelta = RETENTION
    ) -> None:
        if not TOPIC_NAME.fullmatch(topic):
            raise SettingError(
                f"a topic cannot be named '{topic}'; use letters, digits, '.', '_' and '-'"
            )
        if self._existing(topic) is None:
            with closing(connect(self._path(topic), shrinks=True)) as connection:
                _create(connection, partitions, retention)

    def begin_offsets(self, topic: str) -> Mapping[int, int]:
        rows = self._topic(topic).execute("select partition, begin_offset from partition")
        return dict(rows.fetchall())

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        return _ends(self._topic(topic))

    def read(self, topic: str, offsets: Mapping[int, int], limit: int) -> pa.Table:
        connection = self._topic(topic)
        (first,) = connection.execute(FIRST_BATCH, (json.dumps(dict(offsets)),)).fetchone()
        if first is None:
            return EVENTS.empty_table()
        batches: list[pa.RecordBatch] = []
        events = size = 0
        rows = connection.execute(
            "select payload from batch where batch >= ? order by batch", (first,)
        )
        for (payload,) in rows:
            (batch,) = pa.ipc.open_stream(payload)
            batches.append(batch)
            events += batch.num_rows
            size += batch.nbytes
            if events >= limit or size >= READ_BYTES:
                break
        rows.close()
        return _from_offsets(pa.Table.from_batches(batches, EVENTS), offsets)

    def produce(self, topic: str, events: pa.Table) -> None:
        connection = self._topic(topic)
        if not len(events):
            return
        events = events.select(PRODUCED.names).cast(PRODUCED)
        (partitions,) = connection.execute("select count(*) from partition").fetchone()
        placed = partitions_of(events["key"], partitions)
        with transaction(connection):
            ends = _ends(connection)
            done = 0
            for part in _parts(events):
                ends = _append(connection, part, placed[done : done + len(part)], ends)
                done += len(part)
            connection.executemany(
                "update partition set end_offset = ? where partition = ?",
                [(end, partition) for partition, end in ends.items()],
            )
            _expire(connection)
        _shrink(connection)

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        connection = self._topic(topic)
        with transaction(connection):
            connection.executemany(
                "insert or replace into consumer_group values (?, ?, ?)",
                [(group, partition, offset) for partition, offset in offsets.items()],
            )

    def committed(self, group: str, topic: str) -> Mapping[int, int]:
        rows = self._topic(topic).execute(
            "select partition, committed_offset from consumer_group where name = ?", (group,)
        )
        return dict(rows.fetchall())

    def groups(self, topic: str) -> Sequence[str]:
        rows = self._topic(topic).execute("select distinct name from consumer_group order by 1")
        return [name for (name,) in rows]

    def close(self) -> None:
        while self._connections:
            self._connections.popitem()[1].close()

    def _path(self, topic: str) -> Path:
        return self._folder / f"{topic}.db"

    def _topic(self, topic: str) -> sqlite3.Connection:
        connection = self._existing(topic)
        if connection is None:
            raise UnknownTopic(topic, f"the embedded event log {self._folder}")
        return connection

    def _existing(self, topic: str) -> sqlite3.Connection | None:
        if topic in self._connections:
            return self._connections[topic]
        # A name that is none could lead out of the folder, and connecting would make the file.
        if not TOPIC_NAME.fullmatch(topic) or not self._path(topic).exists():
            return None
        connection = connect(self._path(topic), shrinks=True)
        if lacks(connection, ["topic"]):
            connection.close()
            return None
        connection.execute("pragma synchronous = full")
        self._connections[topic] = connection
        return connection


def _create(connection: sqlite3.Connection, partitions: int, retention: timedelta) -> None:
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


def _ends(connection: sqlite3.Connection) -> dict[int, int]:
    return dict(connection.execute("select partition, end_offset from partition").fetchall())


def _parts(events: pa.Table) -> Iterator[pa.RecordBatch]:
    for batch in events.combine_chunks().to_batches(max_chunksize=BATCH_EVENTS):
        yield from _bounded(batch)


def _bounded(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows == 1 or batch.nbytes <= BATCH_BYTES:
        yield batch
    else:
        half = batch.num_rows // 2
        yield from _bounded(batch.slice(0, half))
        yield from _bounded(batch.slice(half))


def _append(
    connection: sqlite3.Connection,
    events: pa.RecordBatch,
    placed: npt.NDArray[np.int64],
    ends: Mapping[int, int],
) -> dict[int, int]:
    """Store one batch; the ends of all partitions after it."""
    counts = np.bincount(placed, minlength=len(ends))
    before = np.array([ends[partition] for partition in range(len(ends))])
    batch = pa.record_batch(
        [pa.array(placed), pa.array(_offsets(placed, counts, before)), *events.columns],
        schema=EVENTS,
    )
    number = connection.execute(
        "insert into batch values (null, ?, ?)", (_now_us(), _stream(batch))
    ).lastrowid
    touched = np.flatnonzero(counts).tolist()
    connection.executemany(
        "insert into start values (?, ?, ?)", [(n, int(before[n]), number) for n in touched]
    )
    return dict(enumerate((before + counts).tolist()))


def _offsets(
    placed: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], before: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The offset of each event: in its partition, one after the other."""
    by_partition = np.argsort(placed, kind="stable")
    firsts = np.cumsum(counts) - counts
    offsets = np.empty(len(placed), np.int64)
    offsets[by_partition] = np.arange(len(placed)) + np.repeat(before - firsts, counts)
    return offsets


def _stream(batch: pa.RecordBatch) -> memoryview:
    compression = "lz4" if batch.nbytes >= COMPRESSED_FROM else None
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def _from_offsets(events: pa.Table, offsets: Mapping[int, int]) -> pa.Table:
    """The events that stand at or after the offset of their partition."""
    partitions, places = events["partition"].to_numpy(), events["offset"].to_numpy()
    first = np.full(max([*offsets, partitions.max()]) + 1, np.iinfo(np.int64).max)
    first[list(offsets)] = list(offsets.values())
    wanted = places >= first[partitions]
    return events if wanted.all() else events.filter(pa.array(wanted))


def _expire(connection: sqlite3.Connection) -> None:
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


def _shrink(connection: sqlite3.Connection) -> None:
    """Give back what a burst has left free, a little at a time; the rest is used again."""
    (pages,) = connection.execute("pragma page_count").fetchone()
    (free,) = connection.execute("pragma freelist_count").fetchone()
    if free > max(pages // 2, SHRUNK_AT_ONCE):
        # As a script: `execute` takes one step of it, which is one page.
        connection.executescript(f"pragma incremental_vacuum({SHRUNK_AT_ONCE})")


def _now_us() -> int:
    return time.time_ns() // 1000
