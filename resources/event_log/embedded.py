"""The embedded event log: a SQLite database a topic, so that writers of several do not wait.

Belongs here: the topics and how they are written and read. Does not: what happens within one's
database (`embedded_topic`).

One row holds a batch as it was produced, an Arrow IPC stream, because a row an event would be ten
times slower. A commit is on the disk before `produce` returns: a log that forgot its last events
after a power failure would give their offsets to others, which readers then take for read.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pyarrow as pa

from aquifer.errors import SettingError
from aquifer.eventlog import EVENTS, PARTITIONS, PRODUCED, READ_BYTES, RETENTION, UnknownTopic
from resources.event_log.batches import from_offsets, parts, unpacked
from resources.event_log.embedded_topic import (
    append,
    create,
    ends_of,
    expire,
    first_batch,
    shrink,
)
from resources.event_log.partitioner import partitions_of
from resources.sqlite import connect, lacks, transaction

SMALL_CHUNK = 1_000
"""Events on average of a batch."""

TOPIC_NAME = re.compile(r"[a-zA-Z0-9._-]{1,200}")


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
                create(connection, partitions, retention)

    def begin_offsets(self, topic: str) -> Mapping[int, int]:
        rows = self._topic(topic).execute("select partition, begin_offset from partition")
        return dict(rows.fetchall())

    def end_offsets(self, topic: str) -> Mapping[int, int]:
        return ends_of(self._topic(topic))

    def read(self, topic: str, offsets: Mapping[int, int], limit: int) -> pa.Table:
        connection = self._topic(topic)
        first = first_batch(connection, offsets)
        if first is None:
            return EVENTS.empty_table()
        batches: list[pa.RecordBatch] = []
        events = size = 0
        rows = connection.execute(
            "select payload from batch where batch >= ? order by batch", (first,)
        )
        for (payload,) in rows:
            batch = unpacked(payload)
            batches.append(batch)
            events += batch.num_rows
            size += batch.nbytes
            if events >= limit or size >= READ_BYTES:
                break
        rows.close()
        found = pa.Table.from_batches(batches, EVENTS)
        # What follows takes longer over many small chunks than copying them into one does.
        found = found.combine_chunks() if events < len(batches) * SMALL_CHUNK else found
        return from_offsets(found, offsets)

    def produce(self, topic: str, events: pa.Table) -> None:
        connection = self._topic(topic)
        if not len(events):
            return
        events = events.select(PRODUCED.names).cast(PRODUCED)
        (partitions,) = connection.execute("select count(*) from partition").fetchone()
        placed = partitions_of(events["key"], partitions)
        with transaction(connection):
            ends = ends_of(connection)
            done = 0
            for part in parts(events):
                ends = append(connection, part, placed[done : done + len(part)], ends)
                done += len(part)
            connection.executemany(
                "update partition set end_offset = ? where partition = ?",
                [(end, partition) for partition, end in ends.items()],
            )
            expire(connection)
        shrink(connection)

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
