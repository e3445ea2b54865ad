"""Silver from rows whose state changes: merged by key, the policy says how.

Belongs here: checking new bronze rows and merging them. Does not: the order of the steps
(`silver_table`), what a table means (its module in `assets`), how rows are merged (`merge`), the
Dagster definition (`assets`).
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame

from aquifer.advance import LARGE_BATCH, Advance, Standing
from aquifer.bronze import BronzeTable
from aquifer.conform import CLEAN, REASONS, conform_sql
from aquifer.contract import Contract, contract_fields, table_metadata
from aquifer.lake import SEQUENCE, Lake
from aquifer.masking import sample_markdown
from aquifer.merge import Latest, MergePolicy, StagedBatch, touched_partitions
from aquifer.quarantine import quarantine, waiting
from aquifer.runtime import Runtime
from aquifer.silver_table import SilverTable
from aquifer.source_snapshots import END, SourceSnapshot

logger = logging.getLogger("aquifer.silver")

SINCE, ROWS, LOST = "_batch_since", "_batch_rows", "_batch_lost"
"""Application transactions that tell of the newest batch: the first `_seq` of bronze that may be in
it, how many rows it had, and how many of them are nowhere."""

ROWS_PER_BATCH = 1_000_000
"""Rows that are merged together, if bronze has not received more in one commit: what an engine
holds of a batch, about a kilobyte a row, does not grow with what waits."""


@dataclass(frozen=True)
class MergedTable(SilverTable):
    """A silver table whose rows are merged by key.

    Args:
        policy: how rows become state.
    """

    policy: MergePolicy = field(default_factory=Latest)

    @property
    def technical(self) -> pa.Schema:
        return self.policy.technical

    def standing(self, lake: Lake) -> Standing:
        table = lake.table(self.name)
        newest = {mark: table.transaction_version(mark) or 0 for mark in (SINCE, ROWS, LOST)}
        refused = waiting(lake, self.name)
        return Standing(
            rows=int(table.count()),
            waiting=len(refused),
            reasons=Counter(reason for row in refused for reason in row.reasons),
            batch_rows=newest[ROWS],
            batch_waiting=sum(row.received >= newest[SINCE] for row in refused),
            lost=newest[LOST],
        )

    def advance(self, runtime: Runtime) -> Advance:
        # Asked first: what a snapshot holds is in bronze before it is marked there.
        snapshot = self.reads.snapshot(runtime.lake)
        done = super().advance(runtime)
        if snapshot and isinstance(self.policy, Latest):
            self._withdraw(runtime, self.policy, snapshot)
        return replace(done, version=runtime.lake.version(self.name))

    def _withdraw(self, runtime: Runtime, policy: Latest, snapshot: SourceSnapshot) -> None:
        """Take out what a snapshot of the source lacks, once."""
        lake = runtime.lake
        with lake.lease([self.name]):
            if lake.progress(self.name, END) >= snapshot.end_us:
                return
            self.register(runtime)
            seq = lake.next_seq(self.name)
            with runtime.staging() as place:
                rows = policy.withdraw(runtime, self.target, snapshot, place, seq)
            lake.record(self.name, {SEQUENCE: seq, END: snapshot.end_us})
        if rows:
            logger.warning(
                "%s: the source was read anew, and is without %d rows that were here; they count "
                "as deleted",
                self.name,
                rows,
            )

    def take_in(self, runtime: Runtime, place: str, since: int, upto: int) -> Advance:
        done = Advance(self.name)
        while since < upto:
            reached = runtime.lake.reach(self.reads.name, since, upto, ROWS_PER_BATCH)
            done = done.plus(self._take_in_batch(runtime, f"{place}/{reached}", since, reached))
            since = reached
        return done

    def _take_in_batch(self, runtime: Runtime, place: str, since: int, upto: int) -> Advance:
        """Take in the bronze rows above one `_seq` up to another, and record that."""
        session, lake = runtime.session, runtime.lake
        rows = session.table(self.reads.name).where(
            f"{SEQUENCE} > {since} and {SEQUENCE} <= {upto}"
        )
        staged = self._stage(runtime, rows, place)
        superseded = self._superseded(runtime, staged)
        quarantined = quarantine(runtime, self.name, staged, superseded)
        seq = self._merge(runtime, staged, place, superseded)
        counts = self._counts(runtime, staged, seq)
        rows_in, repeats = self._received(rows)
        sample = session.table(staged).where(CLEAN).limit(5).toArrow()
        done = Advance(
            self.name,
            rows_in=rows_in,
            kept=counts["kept"],
            quarantined=quarantined,
            duplicates=counts["clean"] - counts["distinct_keys"] + repeats,
            written=counts["written"],
            reasons=_reasons(runtime, staged) if quarantined else {},
            sample=sample_markdown(sample, self.contract),
        )
        marks = {self.reads.name: upto, SEQUENCE: seq}
        large = done.rows_in > LARGE_BATCH
        if large or not self.standing(lake).exceeds(table_metadata(self.contract).quarantine_share):
            marks |= {SINCE: since + 1, ROWS: done.rows_in, LOST: done.lost}
        lake.record(self.name, marks)
        return done

    def refuse_again(self, runtime: Runtime, place: str, upto: int) -> None:
        rows = runtime.session.table(self.reads.name).where(f"{SEQUENCE} <= {upto}")
        staged = self._stage(runtime, rows, place)
        quarantine(runtime, self.name, staged, self._superseded(runtime, staged))

    def take_in_again(
        self, runtime: Runtime, place: str, received: pa.Table
    ) -> Sequence[Mapping[str, Any]]:
        staged = self._stage(runtime, runtime.session.createDataFrame(received), place)
        seq = self._merge(runtime, staged, place)
        runtime.lake.record(self.name, {SEQUENCE: seq})
        verdicts = runtime.session.table(staged).select("_position", REASONS)
        rows: list[Mapping[str, Any]] = verdicts.toArrow().to_pylist()
        return rows

    def _stage(self, runtime: Runtime, received: DataFrame, place: str) -> str:
        """Conform and check rows of the bronze table; the name of the relation that holds them."""
        # Views of the session: a query over `new` reads as the author wrote it.
        session = runtime.session
        with runtime.names():
            received.createOrReplaceTempView("received")
            session.sql(self.reads.decoded(self.contract)).createOrReplaceTempView("new")
            checked = conform_sql(session, self.contract, self.query, ordered=self.policy.ordered)
            return runtime.stage(checked, place, f"staged_{self.name.replace('.', '_')}")

    def _merge(
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

    def _received(self, rows: DataFrame) -> tuple[int, int]:
        """How many rows the source sent, and how many of them say nothing by themselves."""
        columns = (f"count_if({sql})" for sql in (self.reads.is_row, self.reads.is_repeat))
        sent, repeats = rows.selectExpr(*columns).toArrow().to_pylist()[0].values()
        return sent, repeats

    def _counts(self, runtime: Runtime, staged: str, seq: int) -> dict[str, int]:
        """Kept rows are counted in the table, not in the batch: a lost row would be missed."""
        key = ", ".join(f"`{name}`" for name in self.target.keys)
        within = touched_partitions(runtime, self.target, staged)
        counts: dict[str, int] = (
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
        return counts


def _reasons(runtime: Runtime, staged: str) -> dict[str, int]:
    rows = runtime.session.sql(
        f"select reason, count(*) as rows from (select explode(_reasons) as reason from {staged}) "
        "group by reason order by rows desc, reason"
    )
    return {row["reason"]: row["rows"] for row in rows.toArrow().to_pylist()}


def silver(
    contract: type[Contract], *, reads: BronzeTable, policy: MergePolicy | None = None
) -> Callable[[Callable[[], str]], MergedTable]:
    """Declare a silver table by a function that gives its query; its name is the table's.

    Use `mirror` for a table whose columns are those of the source.
    """

    def declare(query: Callable[[], str]) -> MergedTable:
        return MergedTable(f"silver.{query.__name__}", contract, reads, query(), policy or Latest())

    return declare


def mirror(
    name: str,
    contract: type[Contract],
    *,
    reads: BronzeTable,
    policy: MergePolicy | None = None,
    **shaped: str,
) -> MergedTable:
    """Declare a silver table with the source's columns, cleaned of surrounding blanks.

    `shaped` gives SQL for columns that take more than that.
    """
    blankless = {c.name: f"nullif(trim(raw.`{c.name}`), '')" for c in contract_fields(contract)}
    columns = ", ".join(f"{sql} as `{column}`" for column, sql in (blankless | shaped).items())
    query = f"select *, {columns} from new"
    return MergedTable(f"silver.{name}", contract, reads, query, policy or Latest())
