"""Checks: a contract's Pandera checks as Spark SQL predicates.

They run inside the plan that writes the rows, because each refused row needs its reasons. Pandera
is their oracle: tests hold both to the same verdict, check by check and row by row.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pandera.api.checks import Check

from aquifer.column_types import ColumnType
from aquifer.contract import (
    Contract,
    ContractField,
    Record,
    contract_fields,
    schema_of,
    table_metadata,
)
from aquifer.declarations import ROW_CHECKS
from aquifer.engine import literal
from aquifer.errors import ContractError
from aquifer.patterns import portable


@dataclass(frozen=True)
class CompiledCheck:
    """One check of a contract.

    Attributes:
        name: `<column>_<check>`, or the name of a rule.
        column: the column it is about; empty for a rule over several.
        failure: Spark SQL, true for the rows that fail and never null.
        description: what good rows keep to, in words.
    """

    name: str
    column: str
    failure: str
    description: str


@cache
def compile_checks(contract: type[Record]) -> tuple[CompiledCheck, ...]:
    """The contract's checks, in the order of its columns, then its rules.

    Those of the records in a list are of the list: they fail when one of the records does.

    Raises:
        ContractError: a check that has no SQL, or a value that its column cannot hold.
    """
    compiled = [*_compile_fields(contract, "")]
    if issubclass(contract, Contract):
        for name, rule in table_metadata(contract).rules.items():
            compiled.append(CompiledCheck(name, "", f"coalesce(not ({rule}), false)", rule))
    return tuple(compiled)


def _compile_fields(record: type[Record], within: str) -> Iterator[CompiledCheck]:
    """The checks of a record's fields; `within` is SQL for what they are fields of, with a dot."""
    _refuse_whole_table(record)
    for field in contract_fields(record):
        if not field.nullable:
            yield _not_null(field, within)
        for check in schema_of(record).columns[field.name].checks:
            yield _compile(record, field, check, within)
        for check in _compile_fields(field.item, "item.") if field.item else ():
            yield CompiledCheck(
                f"{field.name}_{check.name}",
                field.name,
                f"coalesce(exists({within}`{field.name}`, item -> {check.failure}), false)",
                f"of each of {field.name}, {check.description}",
            )


def _refuse_whole_table(contract: type[Record]) -> None:
    for check in schema_of(contract).checks:
        raise ContractError(
            f"{contract.__name__}: the check '{check.name}' is of the whole table and cannot be "
            "compiled to SQL; write it as a rule of the table"
        )


def _not_null(field: ContractField, within: str) -> CompiledCheck:
    column = f"{within}`{field.name}`"
    failure = f"{column} is null"
    if field.spark_type == "double":
        # As Pandera has it: what is not a number is not there.
        failure = f"({failure} or isnan({column}))"
    return CompiledCheck(f"{field.name}_not_null", field.name, failure, f"{field.name} is given")


def _compile(
    contract: type[Record], field: ContractField, check: Check, within: str
) -> CompiledCheck:
    where = f"{contract.__name__}.{field.name}"
    known = _COMPILERS.get(str(check.name))
    # One of a person's own may bear the name of one of Pandera's, but has no statistics.
    if known is None or not check.statistics:
        raise ContractError(
            f"{where}: the check '{check.name}' cannot be compiled to SQL; "
            f"use one of {', '.join(ROW_CHECKS)}, or a rule of the table"
        )
    name, compiler = known
    if name.startswith("str_") and field.spark_type != "string":
        raise ContractError(f"{where}: {name} is for text, and the column is {field.type.name}")
    try:
        holds, words = compiler(_Column(name, field, within), check.statistics)
    except ContractError as error:
        raise ContractError(f"{where}: {name}: {error}") from error
    return CompiledCheck(
        f"{field.name}_{name}",
        field.name,
        # Pandera passes nulls; whether they are allowed is the check before.
        f"({within}`{field.name}` is not null and not ({holds}))",
        f"{field.name} {words}",
    )


class _Column:
    """A column under a check: how SQL reads it, and how SQL writes the check's values."""

    def __init__(self, check: str, field: ContractField, within: str) -> None:
        self.check = check
        self.type: ColumnType = field.type
        self.sql = f"{within}`{field.name}`"
        if field.spark_type == "double":
            # One NaN and one zero: in Sail a negative NaN sorts below all numbers, in Spark and
            # Polars above them, and -0.0 is in no list that has 0.0.
            self.sql = f"(nanvl({self.sql}, cast('NaN' as double)) + cast(0 as double))"

    def value(self, value: Any) -> str:
        """The value as a literal of the column's type."""
        written = self.type.literal(value)
        if written is None:
            raise ContractError(f"the value {value!r} is no {self.type.name}")
        return written

    def values(self, values: Any) -> str:
        """The values as the inside of a list; Pandera compares lists of one Python type only."""
        if isinstance(values, str) or not list(values):
            raise ContractError("takes a list of at least one value")
        kinds = {type(value) for value in values}
        if len(kinds) > 1 or (self.type.name == "float" and kinds != {float}):
            raise ContractError(f"the values {values!r} are not all of the type {self.type.name}")
        return ", ".join(self.value(value) for value in values)


_Statistics = Mapping[str, Any]
_Compiler = Callable[[_Column, _Statistics], tuple[str, str]]
"""Gives the predicate that holds for good values, and the same in words."""


def _comparison(operator: str, statistic: str, words: str) -> _Compiler:
    def compile_comparison(column: _Column, statistics: _Statistics) -> tuple[str, str]:
        value = statistics[statistic]
        return f"{column.sql} {operator} {column.value(value)}", f"{words} {_said(value)}"

    return compile_comparison


def _in_range(column: _Column, statistics: _Statistics) -> tuple[str, str]:
    low, high = statistics["min_value"], statistics["max_value"]
    above, from_ = (">=", "at least") if statistics["include_min"] else (">", "above")
    below, to = ("<=", "at most") if statistics["include_max"] else ("<", "below")
    return (
        f"{column.sql} {above} {column.value(low)} and {column.sql} {below} {column.value(high)}",
        f"is {from_} {_said(low)} and {to} {_said(high)}",
    )


def _membership(operator: str, statistic: str, words: str) -> _Compiler:
    def compile_membership(column: _Column, statistics: _Statistics) -> tuple[str, str]:
        values = statistics[statistic]
        predicate = f"{column.sql} {operator} ({column.values(values)})"
        return predicate, f"{words} {', '.join(_said(value) for value in values)}"

    return compile_membership


def _pattern(words: str, *, whole: bool) -> _Compiler:
    def compile_pattern(column: _Column, statistics: _Statistics) -> tuple[str, str]:
        pattern = statistics["pattern"]
        if not isinstance(pattern, str):
            raise ContractError(f"the pattern {pattern!r} is no text")
        written = literal(portable(pattern, whole=whole))
        return f"{column.sql} rlike {written}", f"{words} {pattern}"

    return compile_pattern


def _edge(function: str, words: str) -> _Compiler:
    def compile_edge(column: _Column, statistics: _Statistics) -> tuple[str, str]:
        text = statistics["string"]
        return f"{function}({column.sql}, {column.value(text)})", f"{words} {_said(text)}"

    return compile_edge


def _length(column: _Column, statistics: _Statistics) -> tuple[str, str]:
    exact = statistics.get("exact_value")
    bounds = [
        ("=", "exactly", exact),
        # Pandera looks at no other bound where it has an exact one.
        (">=", "at least", statistics.get("min_value") if exact is None else None),
        ("<=", "at most", statistics.get("max_value") if exact is None else None),
    ]
    given = [(operator, words, bound) for operator, words, bound in bounds if bound is not None]
    if not given or not all(isinstance(bound, int) for *_, bound in given):
        raise ContractError("takes whole numbers: min_value, max_value or exact_value")
    return (
        " and ".join(
            f"char_length({column.sql}) {operator} {bound}" for operator, _, bound in given
        ),
        f"has {' and '.join(f'{words} {bound}' for _, words, bound in given)} characters",
    )


def _said(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


_COMPILERS: Mapping[str, tuple[str, _Compiler]] = {
    "equal_to": ("eq", _comparison("=", "value", "is")),
    "not_equal_to": ("ne", _comparison("<>", "value", "is not")),
    "greater_than": ("gt", _comparison(">", "min_value", "is above")),
    "greater_than_or_equal_to": ("ge", _comparison(">=", "min_value", "is at least")),
    "less_than": ("lt", _comparison("<", "max_value", "is below")),
    "less_than_or_equal_to": ("le", _comparison("<=", "max_value", "is at most")),
    "in_range": ("in_range", _in_range),
    "isin": ("isin", _membership("in", "allowed_values", "is one of")),
    "notin": ("notin", _membership("not in", "forbidden_values", "is none of")),
    "str_matches": ("str_matches", _pattern("matches", whole=True)),
    "str_contains": ("str_contains", _pattern("contains", whole=False)),
    "str_startswith": ("str_startswith", _edge("startswith", "begins with")),
    "str_endswith": ("str_endswith", _edge("endswith", "ends with")),
    "str_length": ("str_length", _length),
}
"""By Pandera's name of the check: the name that `Field` takes, and what compiles it."""
