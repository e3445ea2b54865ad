"""Batches of events: cut to a size, numbered by partition, packed for storage.

Belongs here: what is done with many events at once. Does not: where they are kept.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BATCH_EVENTS = 10_000
BATCH_BYTES = 16 * 1024 * 1024
"""What a part holds at most, unless a single event is larger."""

COMPRESSED_FROM = 16 * 1024
"""Bytes from which a batch is compressed; of smaller ones it takes longer than it spares."""

Integers = npt.NDArray[np.int64]


def parts(events: pa.Table) -> Iterator[pa.RecordBatch]:
    """The events in order, in parts of bounded size."""
    for batch in events.combine_chunks().to_batches(max_chunksize=BATCH_EVENTS):
        yield from _bounded(batch)


def _bounded(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    if batch.num_rows == 1 or batch.nbytes <= BATCH_BYTES:
        yield batch
    else:
        half = batch.num_rows // 2
        yield from _bounded(batch.slice(0, half))
        yield from _bounded(batch.slice(half))


def numbered(placed: Integers, counts: Integers, before: Integers) -> Integers:
    """The offset of each event: one after the other in its partition.

    Args:
        placed: the partition of each event.
        counts: how many of them each partition has.
        before: the end of each partition before them.
    """
    by_partition = np.argsort(placed, kind="stable")
    firsts = np.cumsum(counts) - counts
    offsets = np.empty(len(placed), np.int64)
    offsets[by_partition] = np.arange(len(placed)) + np.repeat(before - firsts, counts)
    return offsets


def packed(batch: pa.RecordBatch) -> memoryview:
    """A batch as an Arrow IPC stream."""
    compression = "lz4" if batch.nbytes >= COMPRESSED_FROM else None
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


def unpacked(payload: bytes) -> pa.RecordBatch:
    """The batch that was packed."""
    return pa.ipc.open_stream(payload).read_next_batch()


def from_offsets(events: pa.Table, offsets: Mapping[int, int]) -> pa.Table:
    """The events that stand at or after the offset of their partition."""
    partitions, places = events["partition"].to_numpy(), events["offset"].to_numpy()
    first = np.full(max([*offsets, partitions.max()]) + 1, np.iinfo(np.int64).max)
    first[list(offsets)] = list(offsets.values())
    wanted = places >= first[partitions]
    return events if wanted.all() else events.filter(pa.array(wanted))
