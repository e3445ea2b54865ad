"""Merging rows of files: a line exists as long as the current delivery of a file holds it.

Belongs here: what a further delivery of a file withdraws. Does not: rows that are states of a key
(`merge`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from aquifer.conform import CLEAN
from aquifer.engine import literals
from aquifer.lake import DELETED, SEQUENCE
from aquifer.merge import MergePolicy, StagedBatch, Target, month_column, names


@dataclass(frozen=True)
class HeldByFiles(MergePolicy):
    """Rows that exist as long as the current delivery of at least one file holds them.

    The key identifies a row by all its values, so that rows never change, they only come and go.
    A new delivery of a file withdraws the rows that it no longer holds.
    """

    ordered = False
    technical = pa.schema([pa.field("_files", pa.list_(pa.string()))])

    def prepare(self, target: Target, batch: StagedBatch) -> str:
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
        month = "".join(f", {column}" for column in month_column(target))
        arriving = (
            f"select {columns}, case when _all is not null then _all "
            "when _first is null then cast(array() as array<string>) else array(_first) end "
            f"as _held from (select *{month} from ({one})) left join ({several}) using (`{key}`)"
        )
        superseded = _array(batch.superseded)
        if not superseded:
            return arriving
        return (
            f"{arriving} union all select {columns}, cast(array() as array<string>) as _held "
            f"from {target.name} t where not {DELETED} "
            f"and arrays_overlap(_files, {superseded}) and not exists "
            f"(select 1 from {batch.view} c where c.`{key}` = t.`{key}` and {CLEAN})"
        )

    def clauses(self, target: Target, batch: StagedBatch) -> str:
        superseded = _array(batch.superseded)
        before = "t._files"
        if superseded:
            before = f"array_except(t._files, {superseded})"
        files = f"array_sort(array_union({before}, s._held))"
        columns = [*target.columns, *target.partition]
        return (
            f"when matched and array_join({files}, '/') <> array_join(t._files, '/') then update "
            f"set _files = {files}, {DELETED} = size({files}) = 0, {SEQUENCE} = {batch.seq} "
            f"when not matched then insert ({names(columns)}, _files, {DELETED}, {SEQUENCE}) "
            f"values ({names(columns, 's.')}, s._held, size(s._held) = 0, {batch.seq})"
        )


def _array(files: Sequence[str]) -> str:
    """A literal array of the files, or nothing if there are none."""
    # The null makes its type that of the column: Sail takes no other.
    return f"array({literals(files)}, cast(null as string))" if files else ""
