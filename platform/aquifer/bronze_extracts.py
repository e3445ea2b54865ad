"""Bronze from extracts: rows of a database table or an API, polled by watermark."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from aquifer.bronze import Batch, BronzeTable
from aquifer.contract import Contract, contract_fields
from aquifer.errors import SourceError
from aquifer.lake import NOTHING, SEQUENCE, Lake

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WATERMARK = "watermark"


class ExtractSource(Protocol):
    """A source that is polled."""

    def now(self) -> datetime:
        """The source's present, in UTC: the instant of the extraction."""
        ...

    def extract(self, entity: str, since: datetime | None) -> pa.Table:
        """Rows whose watermark column is at or after `since` (all when None), as text columns."""
        ...

    def keys(self, entity: str) -> list[str] | None:
        """The keys of all rows that exist, or None where rows are never deleted."""
        ...


@dataclass(frozen=True)
class ExtractTable(BronzeTable):
    """Rows extracted by watermark, with an overlap so that late commits are not missed.

    A row that the overlap delivers again is skipped. A key that the silver table holds and the
    source no longer does is a delete, at the extraction's instant.
    """

    entity: str = ""
    watermark: str = ""
    overlap: timedelta = timedelta(days=1)
    key: str = ""
    silver: str = ""

    technical = pa.schema(
        [
            pa.field("_op", pa.string()),
            pa.field("_extracted_at", pa.timestamp("us", "UTC")),
            pa.field("_row", pa.int64()),
        ]
    )

    def batches(self, lake: Lake, source: ExtractSource) -> Iterator[Batch]:
        now = source.now()
        reached = lake.progress(self.name, WATERMARK)
        since = None if reached == NOTHING else _instant(reached) - self.overlap
        extracted = source.extract(self.entity, since)
        fresh = self._unseen(lake, extracted, since)
        deleted = self._deleted(lake, source)
        rows = pa.concat_tables(
            [_operated(fresh, "r"), _operated(deleted, "d")], promote_options="default"
        )
        marks = [_micros(text) for text in fresh[self.watermark].to_pylist()]
        numbers = pa.array(range(len(rows)), pa.int64())
        at = pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), len(rows))
        yield Batch(
            rows.append_column("_extracted_at", at).append_column("_row", numbers),
            {WATERMARK: max([reached, *marks])},
            duplicates=len(extracted) - len(fresh),
        )

    def _unseen(self, lake: Lake, extracted: pa.Table, since: datetime | None) -> pa.Table:
        columns = [column.name for column in contract_fields(self.contract)]
        extracted = extracted.select(columns)
        if since is None:
            return extracted
        # The watermark's text begins with its day on every source, so that days compare as text.
        begin = since.date().isoformat()
        recent = lake.read(self.name, columns, [(self.watermark, ">=", begin)])
        seen = set(zip(*(recent[name].to_pylist() for name in columns), strict=True))
        rows = zip(*(extracted[name].to_pylist() for name in columns), strict=True)
        return extracted.filter(pa.array([row not in seen for row in rows], pa.bool_()))

    def _deleted(self, lake: Lake, source: ExtractSource) -> pa.Table:
        nothing = pa.table({self.key: pa.array([], pa.string())})
        present = source.keys(self.entity) if self.silver else None
        if present is None or not lake.exists(self.silver):
            return nothing
        held = lake.read(self.silver, [self.key, "_deleted"])
        live = held.filter(pc.invert(held["_deleted"]))[self.key].to_pylist()
        taken_in = lake.progress(self.silver, self.name)
        pending = lake.read(self.name, [self.key], [("_op", "=", "d"), (SEQUENCE, ">", taken_in)])
        gone = set(live) - set(present) - set(pending[self.key].to_pylist())
        return pa.table({self.key: pa.array(sorted(gone), pa.string())})

    def decoded(self, contract: type[Contract]) -> str:
        raw = ", ".join(f"'{c.name}', `{c.name}`" for c in contract_fields(self.contract))
        return (
            f"select named_struct({raw}) as raw, _op, "
            f"coalesce(try_cast(`{self.watermark}` as timestamp), _extracted_at) as _changed_at, "
            f"{SEQUENCE} as _order, "
            f"concat_ws('#', '{self.entity}', {SEQUENCE}, _row) as _position, "
            f"'{self.entity}' as _source, to_json(named_struct({raw})) as _raw, "
            f"{self.origin} as _origin from received"
        )


def _operated(rows: pa.Table, op: str) -> pa.Table:
    return rows.append_column("_op", pa.repeat(pa.scalar(op), len(rows)))


def _instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def _micros(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceError(f"the watermark '{text}' is no time; correct it in the source") from error
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return (instant - EPOCH) // timedelta(microseconds=1)
