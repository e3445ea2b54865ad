"""The lake: Delta tables by name, their transactional appends and the progress they record.

Belongs here: what needs the Delta log itself. Does not: transformations (the engine's work) and
what any table means.

A table's name is `<layer>.<table>` and its place `<root>/<layer>/<table>`. Every row carries
`_seq`, which grows with each commit that wrote it; new rows are found by it through Delta's file
statistics. Progress stands in the Delta log as application transactions: under the name of an
upstream, the highest `_seq` of it that the table has taken in; under `_seq`, the table's own.
"""

import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import (
    CommitProperties,
    DeltaTable,
    Field,
    Schema,
    Transaction,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, TableNotFoundError
from deltalake.schema import PrimitiveType
from upath import UPath

from aquifer.errors import ContractError, PassingError, SettingError
from aquifer.lease import Leases
from aquifer.reading import Conditions, read
from aquifer.torn_commits import TORN, mend

logger = logging.getLogger("aquifer.lake")

SEQUENCE = "_seq"
DELETED = "_deleted"
"""Whether a row of silver is no more; what is downstream has to see that it went."""
MONTH = "_month"
"""The month that a row belongs to, by which large tables are partitioned."""
NOTHING = -1
"""The progress of a table that has taken in nothing."""


class Fenced(PassingError):
    """A commit that was refused because another writer was first."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"another writer has committed to {name} without its lease, and nothing was written; "
            "it is tried again, but let all writers of a lake have one AQUIFER_HOME or "
            "AQUIFER_DATABASE"
        )


class Snapshot(NamedTuple):
    """A table as one reader sees it: its Delta version and the highest `_seq` within."""

    version: int
    seq: int


_handles = threading.local()

HANDLE_COMMITS = 50
"""After how many commits a table is opened anew: each adds to what a handle takes to write."""

RETENTION = timedelta(days=30)
"""How long old versions can be read: VACUUM and the log keep them this long."""

STREAMED_RETENTION = timedelta(minutes=15)
"""How long the log of a table keeps them to which streams commit several times a second: whoever
opens the table lists its log."""

LOG_RETENTION = "delta.logRetentionDuration"

STATISTICS = "delta.dataSkippingStatsColumns"
"""The columns of which files keep the least and greatest value."""

CHECKPOINT_COMMITS = 10
"""How many commits an engine reads, beside a checkpoint, each time that it looks at a table."""


@dataclass(frozen=True)
class Lake:
    """Delta tables under one root, with leases for their writers.

    Args:
        root: folder or object-store URL.
        leases: who may commit.
        storage_options: what delta-rs needs to reach the root, as strings.
    """

    root: str
    leases: Leases
    storage_options: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise SettingError when the root is a folder that cannot be written."""
        if "://" in self.root:
            return
        try:
            Path(self.root).mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise SettingError(
                f"cannot write the lake {self.root}: {error.strerror}; set AQUIFER_LAKE or "
                "AQUIFER_HOME to a folder you may write"
            ) from error

    def uri(self, name: str) -> str:
        layer, table = name.split(".")
        return f"{self.root.rstrip('/')}/{layer}/{table}"

    def exists(self, name: str) -> bool:
        return bool(DeltaTable.is_deltatable(self.uri(name), self._options))

    def table(self, name: str, version: int | None = None) -> DeltaTable:
        """The table as of now, or as of a version.

        As of now it is one handle a thread, which each call brings up to date: a log of many
        commits is not read anew.
        """
        if version is not None:
            return DeltaTable(self.uri(name), version=version, storage_options=self._options)
        handles: dict[str, tuple[DeltaTable, int]] = vars(_handles)
        place = f"{self.uri(name)} {sorted(self._options.items())}"
        if place in handles:
            table, opened = handles[place]
            table.update_incremental()
            if table.version() - opened < HANDLE_COMMITS:
                return table
        table = DeltaTable(self.uri(name), storage_options=self._options)
        handles[place] = table, table.version()
        return table

    def _found(self, name: str) -> DeltaTable | None:
        """The table as of now, if it exists: one look at its log instead of two."""
        try:
            return self.table(name)
        except TableNotFoundError:
            return None

    def names(self) -> list[str]:
        """Every table that exists, sorted."""
        logs = UPath(self.root, **dict(self.storage_options)).glob("*/*/_delta_log")
        names = (f"{log.parent.parent.name}.{log.parent.name}" for log in logs)
        # A folder without a commit is what a full disk or a kill leaves of a table's creation.
        return sorted(name for name in names if self.exists(name))

    def version(self, name: str) -> int:
        return int(self.table(name).version())

    def read(
        self,
        name: str,
        columns: list[str] | None = None,
        where: Conditions | pc.Expression = (),
    ) -> pa.Table:
        """The whole table as of now, or some columns of the rows for which conditions hold."""
        return read(self.table(name), columns, where)

    @contextmanager
    def lease(self, names: Iterable[str]) -> Iterator[None]:
        """Be the only writer of these tables. Readers never wait."""
        names = [*names]
        with self.leases.hold(names):
            for name in names:
                self._mend(name)
            yield

    def mend(self) -> None:
        """Let no table have torn commits, also those that are only read; for after a restart."""
        for name in self.names():
            with self.lease([name]):
                pass

    def _mend(self, name: str) -> None:
        # Object stores write files whole.
        if "://" not in self.root and (lost := mend(Path(self.uri(name), "_delta_log"))):
            logger.warning(
                "%s: a power failure tore version %s; it goes on from the version before, and what "
                "was lost is taken in again",
                name,
                lost.start,
            )

    def ensure(self, name: str, schema: pa.Schema, partition_by: Sequence[str] = ()) -> bool:
        """Create the table, or add the columns that it lacks; no column is ever dropped.

        Returns whether the table or one of its columns is new. `_seq` is added to the schema.

        Raises:
            ContractError: a column of the table has another type.
        """
        schema = schema.append(pa.field(SEQUENCE, pa.int64()))
        wanted = Schema([_nullable(field) for field in Schema.from_arrow(schema).fields])
        if not self.exists(name):
            DeltaTable.create(
                self.uri(name),
                wanted,
                partition_by=list(partition_by),
                mode="ignore",
                storage_options=self._options,
                configuration={
                    "delta.deletedFileRetentionDuration": _interval(RETENTION),
                    LOG_RETENTION: _interval(RETENTION),
                    "delta.checkpointInterval": str(CHECKPOINT_COMMITS),
                    STATISTICS: _with_statistics(wanted, partition_by),
                },
            )
            return True
        table = self.table(name)
        present = {field.name: field.type for field in table.schema().fields}
        for column in wanted.fields:
            if column.name in present and present[column.name] != column.type:
                raise ContractError(
                    f"{name}.{column.name} is {column.type} in its contract and "
                    f"{present[column.name]} in the lake; give what changed its type a new name"
                )
        missing = [field for field in wanted.fields if field.name not in present]
        if missing:
            table.alter.add_columns(missing)
        metadata = table.metadata()
        statistics = _with_statistics(table.schema(), metadata.partition_columns)
        if metadata.configuration.get(STATISTICS) != statistics:
            table.alter.set_table_properties({STATISTICS: statistics})
        return bool(missing)

    def progress(self, name: str, upstream: str) -> int:
        """The highest `_seq` of the upstream that the table has taken in."""
        return self.marks(name, [upstream]).get(upstream, NOTHING)

    def marks(self, name: str, upstreams: Iterable[str]) -> dict[str, int]:
        """The progress of a table by upstream, but for those that it has taken in nothing of."""
        table = self._found(name)
        if table is None:
            return {}
        recorded = {upstream: table.transaction_version(upstream) for upstream in upstreams}
        return {u: seq for u, seq in recorded.items() if seq not in (None, NOTHING)}

    def seq(self, name: str) -> int:
        """The highest `_seq` that the table has recorded."""
        return self.progress(name, SEQUENCE)

    def lags(self, name: str, upstream: str) -> bool:
        """Whether a table has yet to take in something of an upstream one."""
        return self.seq(upstream) > self.progress(name, upstream)

    def torn(self, name: str) -> int:
        """The last version at which commits were lost; who had taken them in gets them again."""
        return self.progress(name, TORN)

    def settled(self, name: str) -> bool:
        """Whether no row of the table is of a writer that was killed before it recorded them."""
        files = pa.table(self.table(name).get_add_actions(flatten=True))
        last = f"max.{SEQUENCE}"
        written = pc.max(files[last]).as_py() if last in files.column_names else None
        return written is None or written <= self.seq(name)

    def snapshot(self, name: str) -> Snapshot:
        """The table as of now; of one that does not exist, nothing."""
        table = self._found(name)
        if table is None:
            return Snapshot(NOTHING, NOTHING)
        seq = table.transaction_version(SEQUENCE)
        return Snapshot(int(table.version()), NOTHING if seq is None else seq)

    def reach(self, name: str, since: int, upto: int, rows: int) -> int:
        """The `_seq`, at most `upto`, up to which there are about so many rows after `since`."""
        files = pa.table(self.table(name).get_add_actions(flatten=True))
        last = f"max.{SEQUENCE}"
        waiting = files.select([last, "num_records"]).filter(pc.field(last) > since).sort_by(last)
        found = 0
        for seq, count in zip(*(column.to_pylist() for column in waiting.columns), strict=True):
            found += count
            if found >= rows:
                return min(int(seq), upto)
        return upto

    def next_seq(self, name: str) -> int:
        """The `_seq` of the rows that the next commit writes; call it under the table's lease."""
        return self.version(name) + 1

    def append(
        self, name: str, rows: pa.Table, marks: Mapping[str, int], onto: int | None = None
    ) -> int:
        """Append rows and record marks in one transaction; the table's new version.

        The columns are those of the table in any order; `_seq` is set here. Those that are missing,
        because the contract has lost them or a newer one has added them, are null.

        Args:
            onto: the version whose marks say that the rows are new.

        Raises:
            Fenced: another writer has committed since, without the lease.
        """
        table = self.table(name)
        if onto not in (None, table.version()):
            raise Fenced(name)
        seq = table.version() + 1
        try:
            write_deltalake(
                table,
                _numbered(rows, seq),
                mode="append",
                schema_mode="merge",
                commit_properties=_commit({**marks, SEQUENCE: seq}),
            )
        # Whoever commits rows meanwhile records the same transactions, `_seq` at least.
        except CommitFailedError as error:
            raise Fenced(name) from error
        return int(table.version())

    def compact(self, name: str) -> None:
        """Put a streamed table's small files together, and forget its oldest commits.

        Call it under the table's lease.
        """
        table = self.table(name)
        table.optimize.compact(target_size=COMPACTED_BYTES)
        if not self.streamed(name):
            table.alter.set_table_properties({LOG_RETENTION: _interval(STREAMED_RETENTION)})
        shorten_log(table)

    def streamed(self, name: str) -> bool:
        """Whether streams have committed to the table, and put its small files together."""
        retention = self.table(name).metadata().configuration.get(LOG_RETENTION)
        return bool(retention == _interval(STREAMED_RETENTION))

    def merge(
        self, name: str, rows: pa.Table, keys: Sequence[str], within: str, marks: Mapping[str, int]
    ) -> int:
        """Insert rows or replace them by key, and record marks, in one transaction.

        For tables of which a few files hold what changes.

        Args:
            rows: one a key, with all columns of the table but `_seq`, which is set here.
            within: SQL (of DataFusion) that a row `t` of the table lies where the rows belong.

        Returns:
            The table's new version.
        """
        table = self.table(name)
        seq = table.version() + 1
        rows = _numbered(rows, seq)
        matched = [*(f"t.`{key}` = s.`{key}`" for key in keys), within]
        columns = {f"`{column}`": f"s.`{column}`" for column in rows.column_names}
        merger = table.merge(
            rows,
            " and ".join(matched),
            source_alias="s",
            target_alias="t",
            commit_properties=_commit({**marks, SEQUENCE: seq}),
        )
        merger.when_matched_update(columns).when_not_matched_insert(columns).execute()
        return self.version(name)

    def replace(self, name: str, rows: pa.Table, key: str, marks: Mapping[str, int]) -> int:
        """Replace few rows by a key of texts, and record marks, in one transaction.

        Quicker than a merge, whose plan alone takes longer than to write a file anew.

        Args:
            rows: one a key, with all columns of the table but `_seq`, which is set here.

        Returns:
            The table's new version.
        """
        table = self.table(name)
        seq = table.version() + 1
        write_deltalake(
            table,
            _numbered(rows, seq),
            mode="overwrite",
            predicate=f"`{key}` in ({quoted(rows[key].to_pylist())})",
            # What is written anew is put together, and else would grow with each replacement.
            target_file_size=COMPACTED_BYTES,
            commit_properties=_commit({**marks, SEQUENCE: seq}),
        )
        return self.version(name)

    def record(self, name: str, marks: Mapping[str, int]) -> int:
        """Record progress by a commit without rows; the table's new version."""
        table = self.table(name)
        table.create_write_transaction(
            [],
            mode="append",
            schema=table.schema(),
            partition_by=table.metadata().partition_columns,
            commit_properties=_commit(marks),
        )
        return self.version(name)

    def forget(self, name: str, upstreams: Iterable[str]) -> None:
        """Let a table have taken in nothing of some upstreams, in a commit without rows."""
        self.record(name, dict.fromkeys(upstreams, NOTHING))

    def drop_missing(self, name: str) -> list[str]:
        """Let a table go on without the data files that it lacks; which they are.

        Call it under the table's lease. Rows are lost, and taken in again, as in a torn log.
        """
        missing: list[str] = self.table(name).repair()["files_removed"]
        if missing:
            self.record(name, {TORN: self.version(name) + 1})
        return missing

    @property
    def _options(self) -> dict[str, str]:
        return dict(self.storage_options)


COMPACTED_BYTES = 4 * 1024 * 1024
"""What a file of many commits grows to; larger ones are left to maintenance.

A row that is replaced or deleted has its whole file written anew.
"""


def shorten_log(table: DeltaTable) -> None:
    """Write the state of a table into its log, and forget the commits that it need not keep."""
    table.create_checkpoint()
    table.cleanup_metadata()


def quoted(texts: Iterable[str]) -> str:
    """Texts as the inside of a list in DataFusion's SQL, which knows no escapes."""
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


def _numbered(rows: pa.Table, seq: int) -> pa.Table:
    return rows.append_column(SEQUENCE, pa.repeat(pa.scalar(seq, pa.int64()), len(rows)))


def _commit(marks: Mapping[str, int]) -> CommitProperties:
    return CommitProperties(
        app_transactions=[Transaction(app, version) for app, version in sorted(marks.items())]
    )


def _nullable(field: Field) -> Field:
    # What may be null is the contract's word; a NOT NULL in storage would make later appends of
    # evolved tables fail or, on Sail, lose columns silently.
    return Field(field.name, field.type, nullable=True, metadata=field.metadata)


def _with_statistics(schema: Schema, partition_by: Sequence[str]) -> str:
    """The columns of a table that files are passed over by.

    Named, as Spark else takes the first 32. Of others than these types it keeps none, and delta-rs
    takes the lack of a boolean's for a file without the value.
    """
    return ",".join(
        field.name
        for field in schema.fields
        if isinstance(field.type, PrimitiveType)
        and field.type.type not in ("boolean", "binary")
        and field.name not in partition_by
    )


def _interval(duration: timedelta) -> str:
    return f"interval {int(duration.total_seconds())} seconds"
