"""Merging checked rows into a silver table, idempotent by key and order: a repeat is harmless.

Belongs here: how rows of a source become the state of a table. Does not: rows of files, which come
and go with their deliveries (`held_by_files`), what the rows mean, and progress (`silver`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from aquifer.conform import CLEAN
from aquifer.engine import literals
from aquifer.lake import DELETED, MONTH, SEQUENCE
from aquifer.runtime import Runtime
from aquifer.source_snapshots import SourceSnapshot


@dataclass(frozen=True)
class StagedBatch:
    """Checked rows on their way into a table.

    Args:
        view: the relation of the rows, of which those without `_reasons` are merged.
        place: the folder below `Runtime.staging` for what the merge has to write.
        seq: the `_seq` of the rows that change.
        superseded: files of which the batch holds a further delivery, whole, so that what that
            lacks is withdrawn.
    """

    view: str
    place: str
    seq: int
    superseded: Sequence[str] = ()


@dataclass(frozen=True)
class Target:
    """The table merged into."""

    name: str
    columns: Sequence[str]
    keys: Sequence[str]
    month_of: str | None
    """The timestamp column by whose month the table is partitioned."""

    @property
    def partition(self) -> list[str]:
        return [MONTH] if self.month_of else []


class MergePolicy(ABC):
    """How rows become the state of a table."""

    @property
    @abstractmethod
    def technical(self) -> pa.Schema:
        """Columns of the silver table beside the contract's, `_deleted`, `_month` and `_seq`."""

    ordered: ClassVar[bool]
    """Whether rows are states of which the latest counts."""

    @abstractmethod
    def prepare(self, target: Target, batch: StagedBatch) -> str:
        """SQL for the MERGE's source: one row a key."""

    @abstractmethod
    def clauses(self, target: Target, batch: StagedBatch) -> str:
        """The MERGE's WHEN clauses."""

    def merge(self, runtime: Runtime, target: Target, batch: StagedBatch) -> None:
        """MERGE the clean rows of the batch."""
        # Written first, because a MERGE may evaluate its source twice.
        prepared = self.prepare(target, batch)
        source = runtime.stage(prepared, batch.place, f"merged_{batch.view}")
        on = [f"t.`{key}` = s.`{key}`" for key in target.keys]
        on.append(touched_partitions(runtime, target, source))
        runtime.session.sql(
            f"merge into {target.name} t using {source} s on {' and '.join(on)} "
            + self.clauses(target, batch)
        )


@dataclass(frozen=True)
class Latest(MergePolicy):
    """The latest state of a key, by the source's time and then its order; never by arrival.

    A delete keeps the row's last values, marked `_deleted`; it need not carry more than the key.

    Args:
        earliest: a timestamp column of which `_earliest_<column>` keeps the lowest value that the
            row has had, for who is downstream and holds what followed from it.
    """

    earliest: str | None = None

    ordered = True
    deleted: ClassVar[str] = "_op = 'd'"
    """SQL that tells the rows after which the key is no more."""

    @property
    def technical(self) -> pa.Schema:
        instant = pa.timestamp("us", "UTC")
        return pa.schema(
            [
                pa.field("_changed_at", instant),
                pa.field("_order", pa.int64()),
                *(pa.field(name, instant) for name in self._lowest),
            ]
        )

    @property
    def _lowest(self) -> dict[str, str]:
        """The column that keeps the lowest value, if one does, and the column of the values."""
        return {f"_earliest_{self.earliest}": self.earliest} if self.earliest else {}

    def prepare(self, target: Target, batch: StagedBatch) -> str:
        columns = ", ".join(
            [
                f"_changed_at, _order, {self.deleted} as {DELETED}, _state is null as _bare",
                *(f"`{column}` as {name}" for name, column in self._lowest.items()),
                *month_column(target),
            ]
        )
        # What a delete does not carry is as in the state before it, which may be in the batch.
        values = ", ".join(f"coalesce(`{c}`, _state.`{c}`) as `{c}`" for c in target.columns)
        passed = "_changed_at, _order, _op, _state, _next"
        by_key = f"partition by {names(target.keys)} order by _changed_at, _order, _position"
        states = (
            f"select *, lead(_position) over ({by_key}) as _next, "
            f"last_value(case when _op <> 'd' then struct({names(target.columns)}) end, true) "
            f"over ({by_key} rows between unbounded preceding and current row) as _state "
            f"from {batch.view} where {CLEAN}"
        )
        return (
            f"select {names(target.columns)}, {columns} from "
            f"(select {values}, {passed} from ({states})) where _next is null"
        )

    def clauses(self, target: Target, batch: StagedBatch) -> str:
        newer = (
            "(s._changed_at > t._changed_at or "
            "(s._changed_at = t._changed_at and s._order > t._order))"
        )
        technical = ["_changed_at", "_order", DELETED]
        inserted = [*target.columns, *technical, *self._lowest, *target.partition]
        kept = [f"`{c}` = coalesce(s.`{c}`, t.`{c}`)" for c in target.columns]
        replaced = [f"`{c}` = s.`{c}`" for c in target.columns]
        always = [
            *(f"{c} = s.{c}" for c in technical),
            *(f"{c} = least(t.{c}, s.{c})" for c in self._lowest),
            f"{SEQUENCE} = {batch.seq}",
        ]
        return (
            f"when matched and {newer} and s._bare "
            f"then update set {', '.join([*kept, *always])} "
            f"when matched and {newer} then update set {', '.join([*replaced, *always])} "
            f"when not matched then insert ({names(inserted)}, {SEQUENCE}) "
            f"values ({names(inserted, 's.')}, {batch.seq})"
        )

    def withdrawn(self, target: Target, snapshot: SourceSnapshot) -> str:
        """SQL for what a snapshot of the source takes out: the rows that it would hold and lacks.

        Columns: those of the table, `_order`, and `_undone`: whether the row stands and has to go.
        """
        return (
            f"select {names([*target.columns, '_order'])}, true as _undone from {target.name} "
            f"where not {DELETED} and _changed_at < timestamp_micros({snapshot.begin_us})"
        )

    def withdraw(
        self, runtime: Runtime, target: Target, snapshot: SourceSnapshot, place: str, seq: int
    ) -> int:
        """Take out what a snapshot of the source lacks; how many rows that were or are."""
        view = f"withdrawn_{target.name.replace('.', '_')}"
        source = runtime.stage(self.withdrawn(target, snapshot), place, view)
        on = " and ".join(f"t.`{key}` = s.`{key}`" for key in target.keys)
        at = f"timestamp_micros({snapshot.end_us})"
        inserted = names([*target.columns, "_order", "_changed_at", DELETED, SEQUENCE])
        runtime.session.sql(
            f"merge into {target.name} t using {source} s on {on} "
            "when matched and s._undone "
            f"then update set {DELETED} = true, _changed_at = {at}, {SEQUENCE} = {seq} "
            f"when not matched then insert ({inserted}) values "
            f"({names([*target.columns, '_order'], 's.')}, {at}, false, {seq})"
        )
        return int(runtime.session.table(source).count())


@dataclass(frozen=True)
class History(Latest):
    """What was, for good: the key holds an instant, and a delete is a state like any other.

    `changed_at` is the instant and `is_deleted` tells a delete. A row marked `_deleted` never was:
    the source went back behind it.
    """

    deleted = "false"

    def withdrawn(self, target: Target, snapshot: SourceSnapshot) -> str:
        entity = names([key for key in target.keys if key != "changed_at"])
        begin, end = (f"timestamp_micros({us})" for us in snapshot)
        read = f"max(case when _changed_at between {begin} and {end} then changed_at end)"
        # Of the source's clock at the snapshot is known that it had reached all that was read.
        gone_at = "greatest(_clock, timestamp_micros(unix_micros(changed_at) + 1))"
        deletes = {"changed_at": gone_at, "is_deleted": "true"}
        deleted = ", ".join(f"{deletes.get(c, f'`{c}`')} as `{c}`" for c in target.columns)
        return (
            f"with states as (select *, {read} over (partition by {entity}) as _read, "
            f"{read} over () as _clock from {target.name} where not {DELETED}), "
            "former as (select *, coalesce(changed_at > coalesce(_read, _clock), false) as _undone "
            f"from states where _changed_at < {begin}), "
            "gone as (select *, row_number() over "
            f"(partition by {entity} order by changed_at desc) as _nth "
            "from former where not _undone and _read is null) "
            f"select {names([*target.columns, '_order'])}, _undone from former where _undone "
            f"union all select {deleted}, _order, _undone from gone "
            "where _nth = 1 and not is_deleted"
        )


def touched_partitions(runtime: Runtime, target: Target, relation: str) -> str:
    """SQL that a row `t` of the target lies where rows of the relation belong.

    It names the partitions as literals, because engines prune by nothing else.
    """
    if not target.month_of:
        return "true"
    (month,) = month_column(target)
    rows = runtime.session.sql(f"select distinct {month} from {relation}")
    months = sorted(rows.toArrow().column(MONTH).drop_null().to_pylist())
    return f"t.{MONTH} in ({literals(months)})" if months else "false"


def month_column(target: Target) -> list[str]:
    """SQL for the column that the target is partitioned by, if it is."""
    return [f"date_format(`{target.month_of}`, 'yyyy-MM') as {MONTH}"] if target.month_of else []


def names(columns: Sequence[str], prefix: str = "") -> str:
    """Columns as the inside of a SQL list."""
    return ", ".join(f"{prefix}`{column}`" for column in columns)
