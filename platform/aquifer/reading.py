"""Reading Delta tables without an engine: the rows for which conditions hold, from few files.

Belongs here: conditions, and how files are passed over by their statistics. Does not: which table
is read (`lake`).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from operator import and_, or_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

Condition = tuple[str, str, Any]
"""A column, an operator (`=`, `!=`, `<`, `<=`, `>`, `>=`, `in`) and a value."""

Conditions = Sequence[Condition] | Sequence[Sequence[Condition]]
"""Conditions that all hold, or groups of such, of which one holds."""

_OPERATORS: Mapping[str, Callable[[pc.Expression, Any], pc.Expression]] = {
    "=": lambda column, value: column == value,
    "!=": lambda column, value: column != value,
    "<": lambda column, value: column < value,
    "<=": lambda column, value: column <= value,
    ">": lambda column, value: column > value,
    ">=": lambda column, value: column >= value,
    "in": lambda column, value: column.isin(list(value)),
}


def read(
    table: DeltaTable, columns: list[str] | None, where: Conditions | pc.Expression = ()
) -> pa.Table:
    """Some columns, or all, of the rows of a table for which conditions hold.

    An expression says what conditions cannot, and looks into more files.
    """
    if isinstance(where, pc.Expression) or not where:
        filters = where if isinstance(where, pc.Expression) else None
        return table.to_pyarrow_table(columns=columns, filters=filters)
    groups = [list(where)] if isinstance(where[0], tuple) else [list(group) for group in where]
    # To delta-rs an empty text is no value, of which it finds no file.
    pruning = [[each for each in group if "" not in _texts(each)] for group in groups]
    dataset = table.to_pyarrow_dataset(file_pruning_predicate=pruning if all(pruning) else None)
    expressions = [reduce(and_, (_expression(*each) for each in group)) for group in groups]
    return dataset.to_table(columns=columns, filter=reduce(or_, expressions))


def _expression(name: str, operator: str, value: Any) -> pc.Expression:
    column = pc.field(name)
    # delta-rs writes texts as views in what it rewrites, and Arrow compares no views with texts.
    text = bool(_texts((name, operator, value)))
    return _OPERATORS[operator](column.cast(pa.string()) if text else column, value)


def _texts(condition: Condition) -> list[str]:
    """The texts that a condition names."""
    _, operator, value = condition
    values = value if operator == "in" else [value]
    return [each for each in values if isinstance(each, str)]
