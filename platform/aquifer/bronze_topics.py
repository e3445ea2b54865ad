"""Bronze from an event log: the change events of one topic."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.bronze import Batch, BronzeTable
from aquifer.conform import EMPTY, timestamp
from aquifer.contract import Contract, contract_fields
from aquifer.errors import PassingError, SourceError
from aquifer.eventlog import EventLog, EventReader
from aquifer.lake import Lake
from aquifer.source_snapshots import SourceSnapshot, snapshot_of, told

NUL = b"\0"

BYTES = "_bytes"
"""The column that keeps a value which is no text."""

TOMBSTONE = f"value is null and {BYTES} is null"
"""SQL that tells an event without a value, which follows that of a delete and says nothing new."""


@dataclass(frozen=True)
class TopicTable(BronzeTable):
    """Change events of one topic of an event log, as Debezium envelopes.

    Args:
        changed_at: the column by which a source may tell when its row changed; else, and without
            such a column, it is the time of the event.
        snapshots: the topic in which a connector tells of its snapshots, if there is one.
    """

    topic: str = ""
    changed_at: str = ""
    snapshots: str = ""
    events_per_commit: int = 500_000

    technical = pa.schema(
        [
            pa.field("_partition", pa.int64()),
            pa.field("_offset", pa.int64()),
            pa.field("_published_at", pa.timestamp("us", "UTC")),
            pa.field(BYTES, pa.binary()),
        ]
    )

    skips_unreadable = True
    is_repeat = TOMBSTONE

    def batches(self, lake: Lake, source: EventReader) -> Iterator[Batch]:
        # Asked first: of a snapshot that is complete, all rows are before the ends asked for next.
        snapshot = self._snapshot_marks(lake, source)
        begins = source.begin_offsets(self.topic)
        reached, ends = self._reached(lake, source)
        yield Batch(pa.table({}), {}, unreadable=self._deleted(reached, begins))
        # So that no log looks again and again for what is gone.
        reached = {partition: max(at, begins[partition]) for partition, at in reached.items()}
        while any(at < ends[partition] for partition, at in reached.items()):
            events = source.read(self.topic, reached, self.events_per_commit)
            if not len(events):
                break
            moved = ends_of(events["partition"], events["offset"])
            yield Batch(_received(events), {self.mark(n): at for n, at in moved.items()})
            # For those who watch the log; what holds is what the batch has committed.
            if isinstance(source, EventLog):
                with suppress(PassingError):
                    source.commit(self.name, self.topic, moved)
            reached |= moved
        yield Batch(pa.table({}), snapshot)

    def _snapshot_marks(self, lake: Lake, source: EventReader) -> dict[str, int]:
        """The marks of the last snapshot of the source, and how far they were read, if anew."""
        if not self.snapshots or self.snapshots not in source.topics():
            return {}
        ends = source.end_offsets(self.snapshots)
        read = {f"{self.snapshots}/{partition}": end for partition, end in ends.items()}
        if lake.marks(self.name, read) == read:
            return {}
        values: list[bytes] = []
        reached = dict.fromkeys(ends, 0)
        while len(events := source.read(self.snapshots, reached, self.events_per_commit)):
            values += events["value"].to_pylist()
            reached |= ends_of(events["partition"], events["offset"])
        return read | told(values)

    def snapshot(self, lake: Lake) -> SourceSnapshot | None:
        return snapshot_of(lake, self.name)

    def mark(self, partition: int) -> str:
        """The name of the mark that says how far a partition has been read."""
        return f"{self.topic}/{partition}"

    def _reached(self, lake: Lake, source: EventReader) -> tuple[dict[int, int], Mapping[int, int]]:
        """How far each partition of the log has been read, and where it ends.

        Raises:
            SourceError: further than the log goes, so that it is not the log that was read.
        """
        partitions = [*source.end_offsets(self.topic)]
        marks = lake.marks(self.name, map(self.mark, partitions))
        reached = {partition: marks.get(self.mark(partition), 0) for partition in partitions}
        # Asked afterwards: meanwhile another thread or process may have read on.
        ends = source.end_offsets(self.topic)
        for partition, at in reached.items():
            if at > ends[partition]:
                raise SourceError(
                    f"{self.name} has read {self.mark(partition)} up to {at}, but it ends at "
                    f"{ends[partition]}: the log lost events or is another one; restore it, or "
                    "name another topic"
                )
        return reached, ends

    def lag(self, lake: Lake, log: EventReader) -> int:
        """How many events the log has that the table has not."""
        reached, ends = self._reached(lake, log)
        return sum(ends[partition] - at for partition, at in reached.items())

    def _deleted(self, reached: Mapping[int, int], begins: Mapping[int, int]) -> list[str]:
        return [
            f"{self.mark(partition)}: events {at} to {begins[partition] - 1} were deleted by "
            "retention before they were read"
            for partition, at in reached.items()
            if at < begins[partition]
        ]

    def column_of(self, field: str) -> str:
        return "value"

    def decoded(self, contract: type[Contract]) -> str:
        names = {column.name for column in contract_fields(contract)} | {self.changed_at} - {""}
        fields = ", ".join(f"{name} string" for name in sorted(names))
        own = f"{timestamp(f'raw.{self.changed_at}')}, " if self.changed_at else ""
        return (
            f"select raw, case when {TOMBSTONE} then '{EMPTY}' else event.op end as _op, "
            # When it was captured, which is later for what comes later, and what silver takes the
            # latest by: other than the time that a row tells, and the position in the database's
            # own log, it does not go back when the database is restored to an earlier state.
            "timestamp_micros(coalesce(event.ts_us, event.source.ts_us)) as _changed_at, "
            f"coalesce({own}timestamp_micros(event.source.ts_us)) as _valid_from, "
            # Rows of several partitions are of one key only if that is written in several ways.
            "shiftleft(_offset, 16) + _partition as _order, "
            f"concat_ws('/', '{self.topic}', _partition, _offset) as _position, "
            f"'{self.topic}' as _source, value as _raw, {self.origin} as _origin from "
            "(select *, coalesce(event.after, event.before) as raw from "
            "(select *, from_json(value, "
            f"'op string, ts_us bigint, before struct<{fields}>, after struct<{fields}>, "
            "source struct<ts_us: bigint>') as event from received))"
        )

    def fields_of(self, refused: Mapping[str, Any]) -> dict[str, str | None]:
        return {"value": refused["raw"]}


def ends_of(partitions: pa.ChunkedArray, offsets: pa.ChunkedArray) -> dict[int, int]:
    """For each partition in a batch, the offset after its last event."""
    events = pa.table({"partition": partitions, "offset": offsets})
    last = events.group_by("partition").aggregate([("offset", "max")])
    pairs = zip(last["partition"].to_pylist(), last["offset_max"].to_pylist(), strict=True)
    return {partition: offset + 1 for partition, offset in sorted(pairs)}


def _received(events: pa.Table) -> pa.Table:
    """Events as the columns of bronze; a value that is no text is kept as bytes beside."""
    value, stray = _text(events["value"])
    return pa.table(
        {
            "key": _readable(events["key"]),
            "value": value,
            "_partition": events["partition"],
            "_offset": events["offset"],
            "_published_at": events["timestamp"],
            BYTES: stray,
        }
    )


def _text(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Values as text, null where they are none, and those that are none as bytes.

    What begins with the byte 0 is none, though it may happen to be UTF-8: binary formats do.
    """
    binary = pc.starts_with(values, NUL)
    if not pc.any(binary).as_py():
        return _decoded(values)
    texts, others = _decoded(pc.if_else(binary, None, values))
    return texts, pc.coalesce(others, pc.if_else(binary, values, None))


def _decoded(values: pa.ChunkedArray) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """Values as text where they are UTF-8, and the others as bytes."""
    try:
        return values.cast(pa.string()), pa.chunked_array([pa.nulls(len(values), pa.binary())])
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.chunked_array([pa.nulls(1, pa.string())]), values
    # Few are none: looking for them by halves spares looking at each.
    half = len(values) // 2
    parts = zip(_decoded(values.slice(0, half)), _decoded(values.slice(half)), strict=True)
    texts, others = (pa.chunked_array([*one.chunks, *more.chunks]) for one, more in parts)
    return texts, others


def _readable(keys: pa.ChunkedArray) -> pa.ChunkedArray:
    """Keys as text; of one that is none, the stray bytes are written out."""
    try:
        return keys.cast(pa.string())
    except pa.ArrowInvalid:
        texts = [
            None if k is None else k.decode(errors="backslashreplace") for k in keys.to_pylist()
        ]
        return pa.chunked_array([pa.array(texts, pa.string())])
