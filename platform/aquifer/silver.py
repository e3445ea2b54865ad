"""Silver: cleaned, typed, deduplicated tables, each advanced from one bronze table.

Belongs here: how new bronze rows become checked rows of a silver table, exactly once. Does not:
what a table means (its module in `assets`), how rows are merged (`merge`), the Dagster definition
(`assets`).
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from aquifer.advance import LARGE_BATCH, Advance, Standing
from aquifer.bronze import BronzeTable
from aquifer.conform import CLEAN, conform_sql
from aquifer.contract import Contract, arrow_schema, contract_fields, keys, table_metadata
from aquifer.engine import register
from aquifer.lake import DELETED, MONTH, SEQUENCE, Lake
from aquifer.masking import sample_markdown
from aquifer.merge import (
    Latest,
    MergePolicy,
    StagedBatch,
    Target,
    touched_partitions,
)
from aquifer.quarantine import ensure_quarantine, quarantine, quarantine_name, waiting
from aquifer.runtime import Runtime

SINCE, ROWS, LOST = "_batch_since", "_batch_rows", "_batch_lost"
"""Application transactions that tell of the newest batch: the first `_seq` of bronze that may be in
it, how many rows it had, and how many of them are nowhere."""


@dataclass(frozen=True)
class SilverTable:
    """A silver table: its contract, its upstream and the query that shapes the new rows.

    Args:
        name: `silver.<table>`.
        contract: its columns and checks.
        reads: the bronze table whose new rows it takes in.
        query: SQL over the relation `new` (see `BronzeTable.decoded`), beginning `select *, ...`;
            text for a column of another type is read by the contract's types.
        policy: how rows become state.
    """

    name: str
    contract: type[Contract]
    reads: BronzeTable
    query: str
    policy: MergePolicy = field(default_factory=Latest)

    @cached_property
    def target(self) -> Target:
        return Target(
            self.name,
            [column.name for column in contract_fields(self.contract)],
            keys(self.contract),
            table_metadata(self.contract).partition_by,
        )

    @property
    def schema(self) -> pa.Schema:
        partition = [pa.field(MONTH, pa.string())] if self.target.partition else []
        return pa.schema(
            [
                *arrow_schema(self.contract),
                *self.policy.technical,
                pa.field(DELETED, pa.bool_()),
                *partition,
            ]
        )

    def advance(self, runtime: Runtime) -> Advance:
        """Take in the bronze rows that the table has not seen, and record that it has.

        Refused rows are in the quarantine before the others are merged, and progress is recorded
        last: killed at any instant, the next advance repeats steps that change nothing twice.
        """
        started = time.monotonic()
        lake = runtime.lake
        done: dict[str, Any] = {}
        with lake.lease([self.name, quarantine_name(self.name)]):
            self.ensure(lake)
            since = lake.progress(self.name, self.reads.name)
            upstream = lake.snapshot(self.reads.name)
            if upstream.seq > since:
                self.register(runtime)
                with runtime.staging() as place:
                    done = self._take_in(runtime, place, since, upstream.seq)
            standing = self.standing(lake)
        return Advance(
            self.name,
            versions_read={self.reads.name: upstream.version},
            version=lake.version(self.name),
            seconds=time.monotonic() - started,
            standing=standing,
            **done,
        )

    def standing(self, lake: Lake) -> Standing:
        """How the table stands, its newest batch in particular."""
        table = lake.table(self.name)
        newest = {mark: table.transaction_version(mark) or 0 for mark in (SINCE, ROWS, LOST)}
        refused = waiting(lake, self.name)
        return Standing(
            rows=int(table.count()),
            waiting=len(refused),
            reasons=Counter(reason for row in refused for reason in row.reasons),
            batch_rows=newest[ROWS],
            batch_waiting=sum(row.received >= newest[SINCE] for row in refused),
            batch_lost=newest[LOST],
        )

    def ensure(self, lake: Lake) -> None:
        """Make the table and its quarantine exist, with all columns of their contracts."""
        lake.ensure(self.name, self.schema, self.target.partition)
        ensure_quarantine(lake, self.name)

    def register(self, runtime: Runtime) -> None:
        """Name the table, its quarantine and its upstream in the session."""
        names = [self.name, quarantine_name(self.name), self.reads.name]
        register(runtime.session, runtime.lake, names)

    def _take_in(self, runtime: Runtime, place: str, since: int, upto: int) -> dict[str, Any]:
        session, lake = runtime.session, runtime.lake
        rows = session.table(self.reads.name).where(
            f"{SEQUENCE} > {since} and {SEQUENCE} <= {upto}"
        )
        staged = self.stage(runtime, rows, place)
        superseded = self._superseded(runtime, staged)
        quarantined = quarantine(runtime, self.name, staged, superseded)
        seq = self.merge(runtime, staged, place, superseded)
        counts: dict[str, Any] = {
            "rows_in": int(rows.where(self.reads.is_row).count()),
            "quarantined": quarantined,
            **self._counts(runtime, staged, seq),
        }
        lost = Advance(self.name, **counts).lost
        reasons = _reasons(runtime, staged) if quarantined else {}
        sample = session.table(staged).where(CLEAN).limit(5).toArrow()
        marks = {self.reads.name: upto, SEQUENCE: seq}
        large = counts["rows_in"] > LARGE_BATCH
        if large or not self.standing(lake).exceeds(table_metadata(self.contract).quarantine_share):
            marks |= {SINCE: since + 1, ROWS: counts["rows_in"], LOST: lost}
        lake.record(self.name, marks)
        return {**counts, "reasons": reasons, "sample": sample_markdown(sample, self.contract)}

    def stage(self, runtime: Runtime, received: DataFrame, place: str) -> str:
        """Conform and check rows of the bronze table; the name of the relation that holds them."""
        # Views of the session: a query over `new` reads as the author wrote it.
        session = runtime.session
        received.createOrReplaceTempView("received")
        session.sql(self.reads.decoded(self.contract)).createOrReplaceTempView("new")
        checked = conform_sql(session, self.contract, self.query, ordered=self.policy.ordered)
        return runtime.stage(checked, place, f"staged_{self.name.replace('.', '_')}")

    def merge(
        self, runtime: Runtime, staged: str, place: str, superseded: Sequence[str] = ()
    ) -> int:
        """Merge the clean rows of a staged relation; the `_seq` of the rows that changed.

        Of the files in `superseded` the relation holds a further delivery, whole.
        """
        seq = runtime.lake.next_seq(self.name)
        batch = StagedBatch(staged, place, seq, superseded)
        self.policy.merge(runtime, self.target, batch)
        return seq

    def _superseded(self, runtime: Runtime, staged: str) -> list[str]:
        """The files of which a staged relation holds a further delivery."""
        if "_delivery" not in self.reads.technical.names:
            return []
        rows = runtime.session.sql(f"select distinct _file from {staged} where _delivery > 1")
        return sorted(rows.toArrow()["_file"].to_pylist())

    def _counts(self, runtime: Runtime, staged: str, seq: int) -> dict[str, int]:
        """Kept rows are counted in the table, not in the batch: a lost row would be missed."""
        key = ", ".join(f"`{name}`" for name in self.target.keys)
        within = touched_partitions(runtime, self.target, staged)
        row = (
            runtime.session.sql(
                f"select count(*) as clean, count(distinct {key}) as distinct_keys, "
                f"(select count(*) from {self.name} where {SEQUENCE} = {seq}) as written, "
                f"(select count(*) from (select distinct {key} from {staged} where {CLEAN}) "
                f"left semi join (select {key} from {self.name} t where {within}) using ({key})) "
                "as kept "
                f"from {staged} where {CLEAN}"
            )
            .toArrow()
            .to_pylist()[0]
        )
        return {
            "kept": row["kept"],
            "duplicates": row["clean"] - row["distinct_keys"],
            "written": row["written"],
        }


def _reasons(runtime: Runtime, staged: str) -> dict[str, int]:
    rows = runtime.session.sql(
        f"select reason, count(*) as rows from (select explode(_reasons) as reason from {staged}) "
        "group by reason order by rows desc, reason"
    )
    return {row["reason"]: row["rows"] for row in rows.toArrow().to_pylist()}


def silver(
    contract: type[Contract], *, reads: BronzeTable, policy: MergePolicy | None = None
) -> Callable[[Callable[[], str]], SilverTable]:
    """Declare a silver table by a function that gives its query; its name is the table's.

    Use `mirror` for a table whose columns are those of the source.
    """

    def declare(query: Callable[[], str]) -> SilverTable:
        return SilverTable(f"silver.{query.__name__}", contract, reads, query(), policy or Latest())

    return declare


def mirror(
    name: str,
    contract: type[Contract],
    *,
    reads: BronzeTable,
    policy: MergePolicy | None = None,
    **shaped: str,
) -> SilverTable:
    """Declare a silver table with the source's columns, cleaned of surrounding blanks.

    `shaped` gives SQL for columns that take more than that.
    """
    blankless = {c.name: f"nullif(trim(raw.`{c.name}`), '')" for c in contract_fields(contract)}
    columns = ", ".join(f"{sql} as `{column}`" for column, sql in (blankless | shaped).items())
    query = f"select *, {columns} from new"
    return SilverTable(f"silver.{name}", contract, reads, query, policy or Latest())
