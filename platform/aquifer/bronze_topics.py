"""Bronze from an event log: the change events of one topic."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from aquifer.bronze import Batch, BronzeTable
from aquifer.contract import Contract, contract_fields
from aquifer.eventlog import Event, EventLog
from aquifer.lake import Lake


@dataclass(frozen=True)
class TopicTable(BronzeTable):
    """Change events of one topic of an event log, as Debezium envelopes."""

    topic: str = ""
    events_per_commit: int = 500_000

    technical = pa.schema(
        [
            pa.field("_partition", pa.int64()),
            pa.field("_offset", pa.int64()),
            pa.field("_published_at", pa.timestamp("us", "UTC")),
        ]
    )

    def batches(self, lake: Lake, source: EventLog) -> Iterator[Batch]:
        log = lake.table(self.name)
        for partition, end in sorted(source.end_offsets(self.topic).items()):
            mark = f"{self.topic}/{partition}"
            offset = log.transaction_version(mark) or 0
            while offset < end:
                events = source.read(self.topic, partition, offset, self.events_per_commit)
                if not events:
                    break
                offset = events[-1].offset + 1
                yield Batch(_events_table(events), {mark: offset})

    def column_of(self, field: str) -> str:
        return "value"

    def decoded(self, contract: type[Contract]) -> str:
        fields = ", ".join(f"{column.name} string" for column in contract_fields(contract))
        return (
            "select coalesce(event.after, event.before) as raw, event.op as _op, "
            "timestamp_micros(event.source.ts_us) as _changed_at, event.source.lsn as _order, "
            f"concat_ws('/', '{self.topic}', _partition, _offset) as _position, "
            f"'{self.topic}' as _source, value as _raw, {self.origin} as _origin from "
            "(select *, from_json(value, "
            f"'op string, before struct<{fields}>, after struct<{fields}>, "
            "source struct<ts_us: bigint, lsn: bigint>') as event from received)"
        )

    def fields_of(self, refused: Mapping[str, Any]) -> dict[str, str | None]:
        return {"value": refused["raw"]}


def _events_table(events: list[Event]) -> pa.Table:
    return pa.table(
        {
            "key": pa.array([event.key for event in events], pa.string()),
            "value": pa.array([event.value for event in events], pa.string()),
            "_partition": pa.array([event.partition for event in events], pa.int64()),
            "_offset": pa.array([event.offset for event in events], pa.int64()),
            "_published_at": pa.array(
                [event.timestamp for event in events], pa.timestamp("us", "UTC")
            ),
        }
    )
