"""Merging checked rows into a silver table, idempotent by key and order: a repeat is harmless.

Belongs here: the two ways in which rows of a source become the state of a table. Does not: what the
rows mean, and progress (`silver`).

Both take a relation of checked rows, of which those without `_reasons` are merged.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from aquifer.conform import CLEAN
from aquifer.engine import literals
from aquifer.lake import SEQUENCE
from aquifer.runtime import Runtime

MONTH = "_month"
DELETED = "_deleted"


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

    technical: pa.Schema
    """Columns of the silver table beside the contract's, `_deleted`, `_month` and `_seq`."""

    @abstractmethod
    def prepare(self, runtime: Runtime, target: Target, staged: str) -> str:
        """SQL for the MERGE's source, from the relation `staged`: one row a key."""

    @abstractmethod
    def clauses(self, runtime: Runtime, target: Target, staged: str, seq: int) -> str:
        """The MERGE's WHEN clauses."""

    def merge(self, runtime: Runtime, target: Target, staged: str, place: str, seq: int) -> None:
        """MERGE the clean rows of `staged`; rows that change get `seq` as `_seq`.

        The source is written to `place` first: a MERGE may evaluate its source twice.
        """
        source = runtime.stage(self.prepare(runtime, target, staged), place, f"merged_{staged}")
        on = [f"t.`{key}` = s.`{key}`" for key in target.keys]
        if target.month_of:
            months = _months(runtime, source)
            if not months:
                return
            on.append(f"t.{MONTH} in ({literals(months)})")
        runtime.session.sql(
            f"merge into {target.name} t using {source} s on {' and '.join(on)} "
            + self.clauses(runtime, target, staged, seq)
        ).collect()


@dataclass(frozen=True)
class Latest(MergePolicy):
    """The latest state of a key, by the source's time and then its order; never by arrival.

    A delete keeps the row's last values, marked `_deleted`.
    """

    technical = pa.schema(
        [pa.field("_changed_at", pa.timestamp("us", "UTC")), pa.field("_order", pa.int64())]
    )

    def prepare(self, runtime: Runtime, target: Target, staged: str) -> str:
        columns = ", ".join(
            [f"_changed_at, _order, _op = 'd' as {DELETED}", *_month_column(target)]
        )
        return (
            f"select {_names(target.columns)}, {columns} from (select *, row_number() over "
            f"(partition by {_names(target.keys)} order by _changed_at desc, _order desc, "
            f"_position desc) as _rank from {staged} where {CLEAN}) where _rank = 1"
        )

    def clauses(self, runtime: Runtime, target: Target, staged: str, seq: int) -> str:
        newer = (
            "(s._changed_at > t._changed_at or "
            "(s._changed_at = t._changed_at and s._order > t._order))"
        )
        technical = ["_changed_at", "_order", DELETED]
        inserted = [*target.columns, *technical, *target.partition]
        kept = [f"`{c}` = coalesce(s.`{c}`, t.`{c}`)" for c in target.columns]
        replaced = [f"`{c}` = s.`{c}`" for c in target.columns]
        always = [*(f"{c} = s.{c}" for c in technical), f"{SEQUENCE} = {seq}"]
        return (
            f"when matched and {newer} and s.{DELETED} "
            f"then update set {', '.join([*kept, *always])} "
            f"when matched and {newer} then update set {', '.join([*replaced, *always])} "
            f"when not matched then insert ({_names(inserted)}, {SEQUENCE}) "
            f"values ({_names(inserted, 's.')}, {seq})"
        )


@dataclass(frozen=True)
class HeldByFiles(MergePolicy):
    """Rows that exist as long as the current delivery of at least one file holds them.

    The key identifies a row by all its values, so that rows never change, they only come and go.
    A new delivery of a file withdraws the rows that it no longer holds.
    """

    technical = pa.schema([pa.field("_files", pa.list_(pa.string()))])

    def prepare(self, runtime: Runtime, target: Target, staged: str) -> str:
        key = target.keys[0]
        columns = ", ".join(f"`{column}`" for column in [*target.columns, *target.partition])
        # All rows of a key are equal but for how they were written, so that any of them will do;
        # engines take the maximum fast. Most keys are in one file: only of the others is there
        # an array to collect.
        values = ", ".join(f"max(`{c}`) as `{c}`" for c in target.columns if c != key)
        current = f"select _file, max(_delivery) as _current from {staged} group by _file"
        held = (
            f"select *, case when _delivery = _current then _file end as _holder "
            f"from {staged} join ({current}) using (_file) where {CLEAN}"
        )
        one = (
            f"select `{key}`, {values}, min(_holder) as _first, max(_holder) as _last "
            f"from ({held}) group by `{key}`"
        )
        several = (
            f"select `{key}`, array_sort(collect_set(_holder)) as _all from ({held}) left semi join "
            f"(select `{key}` from ({one}) where _first <> _last) using (`{key}`) group by `{key}`"
        )
        month = "".join(f", {column}" for column in _month_column(target))
        arriving = (
            f"select {columns}, case when _all is not null then _all "
            "when _first is null then cast(array() as array<string>) else array(_first) end "
            f"as _held from (select *{month} from ({one})) left join ({several}) using (`{key}`)"
        )
        superseded = _superseded(runtime, staged)
        if not superseded:
            return arriving
        return (
            f"{arriving} union all select {columns}, cast(array() as array<string>) as _held "
            f"from {target.name} t where not {DELETED} "
            f"and arrays_overlap(_files, {superseded}) and not exists "
            f"(select 1 from {staged} c where c.`{key}` = t.`{key}` and {CLEAN})"
        )

    def clauses(self, runtime: Runtime, target: Target, staged: str, seq: int) -> str:
        superseded = _superseded(runtime, staged)
        before = "t._files"
        if superseded:
            before = f"array_except(t._files, {superseded})"
        files = f"array_sort(array_union({before}, s._held))"
        columns = [*target.columns, *target.partition]
        return (
            f"when matched and array_join({files}, '/') <> array_join(t._files, '/') then update "
            f"set _files = {files}, {DELETED} = size({files}) = 0, {SEQUENCE} = {seq} "
            f"when not matched then insert ({_names(columns)}, _files, {DELETED}, {SEQUENCE}) "
            f"values ({_names(columns, 's.')}, s._held, size(s._held) = 0, {seq})"
        )


def _superseded(runtime: Runtime, staged: str) -> str:
    """A literal array of the files of which the batch holds a further delivery, or nothing."""
    rows = runtime.session.sql(f"select distinct _file from {staged} where _delivery > 1")
    files = sorted(rows.toArrow()["_file"].to_pylist())
    # The null makes its type that of the column: Sail takes no other.
    return f"array({literals(files)}, cast(null as string))" if files else ""


def _months(runtime: Runtime, source: str) -> list[str]:
    rows = runtime.session.sql(f"select distinct {MONTH} from {source}")
    return sorted(rows.toArrow()[MONTH].to_pylist())


def _month_column(target: Target) -> list[str]:
    return [f"date_format(`{target.month_of}`, 'yyyy-MM') as {MONTH}"] if target.month_of else []


def _names(columns: Sequence[str], prefix: str = "") -> str:
    return ", ".join(f"{prefix}`{column}`" for column in columns)
