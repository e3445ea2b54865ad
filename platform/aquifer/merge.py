"""Merging checked rows into a silver table, idempotent by key and order: a repeat is harmless.

Belongs here: the two ways in which rows of a source become the state of a table. Does not: what the
rows mean, and progress (`silver`).
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


@dataclass(frozen=True)
class StagedBatch:
    """Checked rows on their way into a table.

    Args:
        view: the relation of the rows, of which those without `_reasons` are merged.
        place: the folder below `Runtime.staging` for what the merge has to write.
        seq: the `_seq` of the rows that change.
        whole: whether deliveries are in the batch whole, so that what one lacks is withdrawn.
    """

    view: str
    place: str
    seq: int
    whole: bool = True


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
    def prepare(self, runtime: Runtime, target: Target, batch: StagedBatch) -> str:
        """SQL for the MERGE's source: one row a key."""

    @abstractmethod
    def clauses(self, runtime: Runtime, target: Target, batch: StagedBatch) -> str:
        """The MERGE's WHEN clauses."""

    def merge(self, runtime: Runtime, target: Target, batch: StagedBatch) -> None:
        """MERGE the clean rows of the batch."""
        # Written first, because a MERGE may evaluate its source twice.
        prepared = self.prepare(runtime, target, batch)
        source = runtime.stage(prepared, batch.place, f"merged_{batch.view}")
        on = [f"t.`{key}` = s.`{key}`" for key in target.keys]
        on.append(touched_partitions(runtime, target, source))
        runtime.session.sql(
            f"merge into {target.name} t using {source} s on {' and '.join(on)} "
            + self.clauses(runtime, target, batch)
        ).collect()


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

    def prepare(self, runtime: Runtime, target: Target, batch: StagedBatch) -> str:
        columns = ", ".join(
            [
                f"_changed_at, _order, {self.deleted} as {DELETED}, _state is null as _bare",
                *(f"`{column}` as {name}" for name, column in self._lowest.items()),
                *_month_column(target),
            ]
        )
        # What a delete does not carry is as in the state before it, which may be in the batch.
        values = ", ".join(f"coalesce(`{c}`, _state.`{c}`) as `{c}`" for c in target.columns)
        passed = "_changed_at, _order, _op, _state, _next"
        by_key = f"partition by {_names(target.keys)} order by _changed_at, _order, _position"
        states = (
            f"select *, lead(_position) over ({by_key}) as _next, "
            f"last_value(case when _op <> 'd' then struct({_names(target.columns)}) end, true) "
            f"over ({by_key} rows between unbounded preceding and current row) as _state "
            f"from {batch.view} where {CLEAN}"
        )
        return (
            f"select {_names(target.columns)}, {columns} from "
            f"(select {values}, {passed} from ({states})) where _next is null"
        )

    def clauses(self, runtime: Runtime, target: Target, batch: StagedBatch) -> str:
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
            f"when not matched then insert ({_names(inserted)}, {SEQUENCE}) "
            f"values ({_names(inserted, 's.')}, {batch.seq})"
        )


@dataclass(frozen=True)
class History(Latest):
    """What was, for good: the key holds an instant, and a delete is a state like any other."""

    deleted = "false"


@dataclass(frozen=True)
class HeldByFiles(MergePolicy):
    """Rows that exist as long as the current delivery of at least one file holds them.

    The key identifies a row by all its values, so that rows never change, they only come and go.
    A new delivery of a file withdraws the rows that it no longer holds.
    """

    ordered = False
    technical = pa.schema([pa.field("_files", pa.list_(pa.string()))])

    def prepare(self, runtime: Runtime, target: Target, batch: StagedBatch) -> str:
        key = target.keys[0]
        columns = ", ".join(f"`{column}`" for column in [*target.columns, *target.partition])
        # All rows of a key are equal but for how they were written, so that any of them will do;
        # engines take the maximum fast. Most keys are in one file: only of the others is there
        # an array to collect.
        values = ", ".join(f"max(`{c}`) as `{c}`" for c in target.columns if c != key)
        current = f"select _file, max(_delivery) as _current from {batch.view} group by _file"
        held = (
            f"select *, case when _delivery = _current then _file end as _holder "
            f"from {batch.view} join ({current}) using (_file) where {CLEAN}"
        )
        one = (
            f"select `{key}`, {values}, min(_holder) as _first, max(_holder) as _last "
            f"from ({held}) group by `{key}`"
        )
        several = (
            f"select `{key}`, array_sort(collect_set(_holder)) as _all from ({held}) "
            f"left semi join (select `{key}` from ({one}) where _first <> _last) using (`{key}`) "
            f"group by `{key}`"
        )
        month = "".join(f", {column}" for column in _month_column(target))
        arriving = (
            f"select {columns}, case when _all is not null then _all "
            "when _first is null then cast(array() as array<string>) else array(_first) end "
            f"as _held from (select *{month} from ({one})) left join ({several}) using (`{key}`)"
        )
        superseded = _superseded(runtime, batch)
        if not superseded:
            return arriving
        return (
            f"{arriving} union all select {columns}, cast(array() as array<string>) as _held "
            f"from {target.name} t where not {DELETED} "
            f"and arrays_overlap(_files, {superseded}) and not exists "
            f"(select 1 from {batch.view} c where c.`{key}` = t.`{key}` and {CLEAN})"
        )

    def clauses(self, runtime: Runtime, target: Target, batch: StagedBatch) -> str:
        superseded = _superseded(runtime, batch)
        before = "t._files"
        if superseded:
            before = f"array_except(t._files, {superseded})"
        files = f"array_sort(array_union({before}, s._held))"
        columns = [*target.columns, *target.partition]
        return (
            f"when matched and array_join({files}, '/') <> array_join(t._files, '/') then update "
            f"set _files = {files}, {DELETED} = size({files}) = 0, {SEQUENCE} = {batch.seq} "
            f"when not matched then insert ({_names(columns)}, _files, {DELETED}, {SEQUENCE}) "
            f"values ({_names(columns, 's.')}, s._held, size(s._held) = 0, {batch.seq})"
        )


def _superseded(runtime: Runtime, batch: StagedBatch) -> str:
    """A literal array of the files of which the batch holds a further delivery, or nothing."""
    if not batch.whole:
        return ""
    rows = runtime.session.sql(f"select distinct _file from {batch.view} where _delivery > 1")
    files = sorted(rows.toArrow()["_file"].to_pylist())
    # The null makes its type that of the column: Sail takes no other.
    return f"array({literals(files)}, cast(null as string))" if files else ""


def touched_partitions(runtime: Runtime, target: Target, relation: str) -> str:
    """SQL that a row `t` of the target lies where rows of the relation belong.

    It names the partitions as literals, because engines prune by nothing else.
    """
    if not target.month_of:
        return "true"
    (month,) = _month_column(target)
    rows = runtime.session.sql(f"select distinct {month} from {relation}")
    months = sorted(rows.toArrow().column(MONTH).drop_null().to_pylist())
    return f"t.{MONTH} in ({literals(months)})" if months else "false"


def _month_column(target: Target) -> list[str]:
    return [f"date_format(`{target.month_of}`, 'yyyy-MM') as {MONTH}"] if target.month_of else []


def _names(columns: Sequence[str], prefix: str = "") -> str:
    return ", ".join(f"{prefix}`{column}`" for column in columns)
