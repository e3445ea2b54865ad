"""Bronze: append-only tables of what a source delivered, as received.

Belongs here: what the ways in (`bronze_files`, `bronze_topics`, `bronze_extracts`) share: each is
exactly-once because the position reached in the source is committed with the rows. Does not:
any reading of the values (silver).

Beside the columns as received, a row carries where it came from (`_file`, `_delivery`, `_row`; or
`_partition`, `_offset`; or `_extracted_at`, `_op`), `_ingested_at` and `_seq`.
"""

import json
import time
from abc import ABC, abstractmethod
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

import pyarrow as pa
from deltalake import DeltaTable

from aquifer.advance import Advance
from aquifer.contract import Contract, arrow_schema, contract_fields
from aquifer.errors import SourceError
from aquifer.lake import SEQUENCE, Lake
from aquifer.masking import sample_markdown
from aquifer.source_snapshots import SourceSnapshot


@dataclass(frozen=True)
class Batch:
    """Rows of a source with the marks that say how far it has been read."""

    rows: pa.Table
    marks: Mapping[str, int]
    duplicates: int = 0
    """Rows that the source delivered again and that are not in `rows`."""
    unreadable: Sequence[str] = ()
    """What of the source could not be read at all, each with its reason; the rest goes on."""


@dataclass(frozen=True)
class BronzeTable(ABC):
    """A bronze table: its name, its contract and how its source is read.

    Args:
        name: `bronze.<table>`.
        contract: the columns as received; all text.
        resource: key of the Dagster resource that reaches the source.
        source: asset key of the source system, upstream in the lineage.
    """

    name: str
    contract: type[Contract]
    resource: str
    source: str

    technical: ClassVar[pa.Schema]
    skips_unreadable: ClassVar[bool] = False
    """Whether what cannot be read is named and passed over."""
    is_row: ClassVar[str] = "true"
    """SQL that tells rows of the source from records of the platform."""
    is_repeat: ClassVar[str] = "false"
    """SQL that tells rows that only say again what the row before has said."""

    @abstractmethod
    def batches(self, lake: Lake, source: Any) -> Iterator[Batch]:
        """What the source has that the table's log has not committed."""

    @abstractmethod
    def decoded(self, contract: type[Contract]) -> str:
        """SQL over the relation `received`, giving silver one shape for every kind of source.

        Columns: `raw` (a struct of the fields as text), `_position`, `_source`, `_changed_at` and
        `_order` (which decide between states of one key), `_op` ('d' for a delete), `_raw` (the
        row as it came) and `_origin` (the rest of it), for the quarantine, and those of the kind,
        such as `_valid_from` of a change event: since when the row is so.
        `contract` is the silver table's, whose fields are looked for in an event.
        """

    def snapshot(self, lake: Lake) -> SourceSnapshot | None:
        """The last snapshot of the source that the table holds, if the source tells of any."""
        return None

    @property
    def columns(self) -> list[str]:
        """Names of the columns as received."""
        return [column.name for column in contract_fields(self.contract)]

    @property
    def struct(self) -> str:
        """SQL for the columns as received, as `named_struct` takes them."""
        return ", ".join(f"'{name}', `{name}`" for name in self.columns)

    def column_of(self, field: str) -> str:
        """The column of this table that holds a field of `raw`."""
        return field

    @property
    def origin(self) -> str:
        """SQL for what the platform knows of a received row, as JSON."""
        columns = [*self.technical, pa.field(SEQUENCE, pa.int64())]
        values = ", ".join(f"'{column.name}', {_as_json(column)}" for column in columns)
        return f"to_json(named_struct({values}))"

    def restored(self, lake: Lake, refused: Sequence[Mapping[str, Any]]) -> pa.Table:
        """Refused rows as they were received, but for those that the source has withdrawn since.

        Args:
            refused: rows of a quarantine, by column.

        Returns:
            The columns of this table with `_seq`, for `decoded`.

        Raises:
            SourceError: a raw record cannot be read.
        """
        log = lake.table(self.name)
        rows = [
            origin | self.fields_of(row)
            for row in refused
            if self.stands(log, origin := self._of_json(row["_origin"]))
        ]
        received = pa.schema([*arrow_schema(self.contract), *self.technical])
        return pa.Table.from_pylist(rows, received.append(pa.field(SEQUENCE, pa.int64())))

    def _of_json(self, origin: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(origin)
        binary = {column.name for column in self.technical if pa.types.is_binary(column.type)}
        return {
            name: b64decode(value) if value is not None and name in binary else value
            for name, value in told.items()
        }

    def stands(self, log: DeltaTable, origin: Mapping[str, Any]) -> bool:
        """Whether the source still says what it said in this row."""
        return True

    def fields_of(self, refused: Mapping[str, Any]) -> dict[str, str | None]:
        """The columns as received of a refused row, from its raw record."""
        names = {*self.schema.names}
        try:
            fields = dict(json.loads(refused["raw"]))
        except (TypeError, ValueError) as error:
            raise SourceError(
                f"the record of {refused['position']} is no JSON object; correct it"
            ) from error
        if unknown := sorted(fields.keys() - names):
            raise SourceError(
                f"the record of {refused['position']} names {', '.join(unknown)}, "
                f"which {self.name} has not; its columns are {', '.join(sorted(names))}"
            )
        return {name: None if value is None else str(value) for name, value in fields.items()}

    @property
    def schema(self) -> pa.Schema:
        received = arrow_schema(self.contract)
        return pa.schema(
            [*received, *self.technical, pa.field("_ingested_at", pa.timestamp("us", "UTC"))]
        )

    def advance(self, lake: Lake, source: Any) -> Advance:
        """Append what is new; a batch is in the table whole or not at all."""
        started = time.monotonic()
        rows = duplicates = 0
        marks: dict[str, int] = {}
        unreadable: list[str] = []
        sample = self.schema.empty_table()
        with lake.lease([self.name]):
            lake.ensure(self.name, self.schema)
            before = lake.table(self.name).count()
            # Of before the marks are read: who commits after that has read the source as well.
            version = lake.version(self.name)
            for batch in self.batches(lake, source):
                duplicates += batch.duplicates
                unreadable += batch.unreadable
                if len(batch.rows):
                    stamped = _stamped(batch.rows, self.schema)
                    version = lake.append(self.name, stamped, batch.marks, onto=version)
                    rows += len(batch.rows)
                    sample = batch.rows
                elif batch.marks:
                    version = lake.record(self.name, batch.marks)
                marks |= batch.marks
            # Counted in the table, not in the batches: a lost row would be missed.
            kept = lake.table(self.name).count() - before
        return Advance(
            self.name,
            rows_in=rows + duplicates,
            kept=kept,
            duplicates=duplicates,
            written=kept,
            unreadable=unreadable,
            marks=marks,
            version=version,
            seconds=time.monotonic() - started,
            sample=sample_markdown(sample, self.contract),
        )


def _as_json(column: pa.Field) -> str:
    """SQL for a technical column as JSON can hold it, exactly."""
    if pa.types.is_timestamp(column.type):
        return f"unix_micros({column.name})"
    return f"base64({column.name})" if pa.types.is_binary(column.type) else column.name


def _stamped(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    now = pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC")), len(rows))
    return rows.append_column("_ingested_at", now).select(schema.names).cast(schema)
