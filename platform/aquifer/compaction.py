"""Compaction: which partitions of a table have many small files, and putting those together.

Belongs here: the sizes that files are kept to, sorting them. Does not: when it runs
(`maintenance`), and the files that a stream keeps small while it writes (`Lake.compact`).

A table is looked at by its log alone, and each partition is written anew under a lease of its own:
another writer waits for one partition at most. Readers keep the files that they know until VACUUM.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from aquifer.lake import NOTHING, SEQUENCE, Lake

TARGET_BYTES = 128 * 1024 * 1024
"""What files grow to: enough that opening one costs little beside reading it, and little enough
that engines share a partition and that a row which changes has not much written anew with it."""

SMALL_BYTES = TARGET_BYTES // 4

SMALL_FILES = 24
"""From how many small files on a partition is put together: a day of hourly commits. With fewer,
what is written anew each time would cost more than queries save."""

CLUSTERED = "_clustered"
"""The application transaction of the `_seq` up to which the files of a table are sorted."""

Partition = list[tuple[str, str, Any]]
"""The columns that a table is partitioned by and their values, as delta-rs takes conditions."""


def crowded(table: DeltaTable) -> list[Partition]:
    """The partitions that have many small files."""
    return [
        partition
        for partition, files in _partitions(table)
        if sum(file["size_bytes"] < SMALL_BYTES for file in files) >= SMALL_FILES
    ]


def compact(lake: Lake, name: str) -> None:
    """Put the small files of crowded partitions together."""
    for partition in crowded(lake.table(name)):
        with lake.lease([name]):
            lake.table(name).optimize.compact(partition or None, target_size=TARGET_BYTES)


def cluster(lake: Lake, name: str, columns: Sequence[str]) -> None:
    """Sort the files of the partitions that have rows which came after the last time."""
    sorted_to, upto = lake.progress(name, CLUSTERED), lake.seq(name)
    last = f"max.{SEQUENCE}"
    unsorted = [
        partition
        for partition, files in _partitions(lake.table(name))
        if any(file.get(last) is None or file[last] > sorted_to for file in files)
    ]
    for partition in unsorted:
        with lake.lease([name]):
            lake.table(name).optimize.z_order(columns, partition or None, target_size=TARGET_BYTES)
    if unsorted and upto != NOTHING:
        with lake.lease([name]):
            lake.record(name, {CLUSTERED: upto})


def _partitions(table: DeltaTable) -> list[tuple[Partition, list[dict[str, Any]]]]:
    """Of each partition the files, as the log tells them."""
    columns = table.metadata().partition_columns
    files: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for file in pa.table(table.get_add_actions(flatten=True)).to_pylist():
        # To delta-rs an empty text is no value.
        values = (file[f"partition.{column}"] for column in columns)
        files[tuple("" if value is None else value for value in values)].append(file)
    return [
        ([(column, "=", value) for column, value in zip(columns, values, strict=True)], found)
        for values, found in files.items()
    ]
