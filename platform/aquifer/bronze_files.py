"""Bronze from files: delimited files of a landing folder, by name and content."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from aquifer.bronze import Batch, BronzeTable
from aquifer.conform import EMPTY
from aquifer.contract import Contract
from aquifer.delimited import IncompleteFile, read_delimited
from aquifer.errors import SourceError
from aquifer.lake import Lake
from aquifer.landing import LandingFolder

logger = logging.getLogger("aquifer.bronze")


@dataclass(frozen=True)
class FileTable(BronzeTable):
    """Delimited files from a landing folder.

    A file's name and content are marked in the log. Content that the log holds as the latest of
    that name is a redelivery and changes nothing; other content is a new delivery of the file.
    """

    rows_per_commit: int = 1_000_000

    technical = pa.schema(
        [
            pa.field("_extra", pa.string()),
            pa.field("_file", pa.string()),
            pa.field("_delivery", pa.int64()),
            pa.field("_row", pa.int64()),
        ]
    )

    skips_unreadable = True
    is_row = "_row > 0"

    def batches(self, lake: Lake, source: LandingFolder) -> Iterator[Batch]:
        log = lake.table(self.name)
        tables: list[pa.Table] = []
        marks: dict[str, int] = {}
        unreadable: list[str] = []
        for file in source.files():
            name, content = f"file:{file.name}", f"content:{file.name}:{file.sha256}"
            delivered = log.transaction_version(name) or 0
            if delivered and log.transaction_version(content) == delivered:
                continue
            try:
                rows = read_delimited(file.content, file.landed_as, self.columns)
            except IncompleteFile as error:
                logger.warning("%s; it is read when it is whole", error)
                continue
            except SourceError as error:
                unreadable.append(str(error))
                continue
            tables.append(_placed(rows if len(rows) else _nothing(rows), file.name, delivered + 1))
            marks |= {name: delivered + 1, content: delivered + 1}
            if sum(map(len, tables)) >= self.rows_per_commit:
                yield Batch(pa.concat_tables(tables), marks)
                tables, marks = [], {}
        rows = pa.concat_tables(tables) if tables else pa.table({})
        yield Batch(rows, marks, unreadable=unreadable)

    def decoded(self, contract: type[Contract]) -> str:
        return (
            f"select named_struct({self.struct}) as raw, "
            "concat_ws('#', _file, _delivery, _row) as _position, _file as _source, "
            "cast(null as timestamp) as _changed_at, cast(_delivery as bigint) as _order, "
            f"to_json(named_struct({self.struct}, '_extra', _extra)) as _raw, "
            f"{self.origin} as _origin, "
            f"case when _row = 0 then '{EMPTY}' else 'c' end as _op, _file, _delivery from received"
        )

    def stands(self, log: DeltaTable, origin: Mapping[str, Any]) -> bool:
        return bool(log.transaction_version(f"file:{origin['_file']}") == origin["_delivery"])


def _nothing(rows: pa.Table) -> pa.Table:
    """The row 0 that records that a delivery held no rows: silver must see that it came."""
    nulls = {name: pa.nulls(1, rows.schema.field(name).type) for name in rows.column_names}
    return pa.table({**nulls, "_row": pa.array([0], pa.int64())})


def _placed(rows: pa.Table, file: str, delivery: int) -> pa.Table:
    return rows.append_column("_file", pa.repeat(pa.scalar(file), len(rows))).append_column(
        "_delivery", pa.repeat(pa.scalar(delivery, pa.int64()), len(rows))
    )
