"""Conforming: from the text of a source to the types and checks of a contract, in one SQL query.

A value is read exactly or not at all: text that is no number, no instant or has more decimal places
than the contract's type becomes null with the reason `<column>_unreadable`; nothing is rounded. A
value that no table holds, such as an amount of 20 digits or a day in 1753, has the reason
`<column>_out_of_range`.
"""

from collections.abc import Callable, Iterator, Sequence

from pyspark.sql import SparkSession
from pyspark.sql.types import DataType, StringType

from aquifer.checks import compile_checks
from aquifer.contract import Contract, ContractField, contract_fields, keys
from aquifer.engine import literal
from aquifer.patterns import portable

REASONS = "_reasons"
EMPTY = "empty"
"""The `_op` of the row that stands for a delivery without rows."""

CLEAN = f"size({REASONS}) = 0 and _op <> '{EMPTY}'"
REFUSED = f"size({REASONS}) > 0"

BEGIN, END = "1900-01-01", "9999-12-31"
"""The days from and before which a table holds instants; a version is open until the latter."""

RECORD = ("_raw", "_origin")
"""The row as it came, of which only the quarantine has need."""

_INTEGER = portable(r"^[+-]?[0-9]{1,18}([.]0*)?$", whole=True)
_MONEY = portable(r"^[+-]?[0-9]{1,14}([.][0-9]{0,4}0*)?$", whole=True)
_REAL = portable(r"^[+-]?[0-9]+([.][0-9]*)?([eE][+-]?[0-9]+)?$", whole=True)
_DATE = portable(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}Z?$", whole=True)
_TIMESTAMP = portable(
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?$",
    whole=True,
)


def integer(text: str) -> str:
    """SQL that reads a text expression as a whole number, or null. `6` and `6.0` are both 6."""
    return _read(text, _INTEGER, "bigint", f"regexp_replace(trim({text}), '[.]0*$', '')")


def money(text: str) -> str:
    """SQL that reads a text expression as decimal(18,4), or null when it has more places."""
    return _read(text, _MONEY, "decimal(18,4)")


def timestamp(text: str) -> str:
    """SQL that reads a text expression as an instant in UTC, or null."""
    return _read(text, _TIMESTAMP, "timestamp")


def date(text: str) -> str:
    """SQL that reads a text expression as a day, or null. It may say that it is one in UTC."""
    return _read(text, _DATE, "date", f"substr(trim({text}), 1, 10)")


def _read(text: str, pattern: str, type_: str, cleaned: str | None = None) -> str:
    value = cleaned or f"trim({text})"
    return f"case when trim({text}) rlike {literal(pattern)} then try_cast({value} as {type_}) end"


def _reader(spark_type: str, text: str) -> str:
    readers: dict[str, Callable[[str], str]] = {
        "bigint": integer,
        "decimal(18,4)": money,
        "timestamp": timestamp,
        "date": date,
        "double": lambda text: _read(text, _REAL, "double"),
        "boolean": lambda text: f"try_cast({text} as boolean)",
        "string": lambda text: text,
    }
    return readers[spark_type](text)


def conform_sql(
    session: SparkSession, contract: type[Contract], rows: str, *, ordered: bool = False
) -> str:
    """SQL that gives `rows` (a query) the contract's columns and types, and `_reasons`.

    Columns of `rows` whose names begin with `_` pass through; others that the contract does not
    name are dropped. `_reasons` is the array of the names of the failed checks;
    only of a refused row `_raw` and `_origin` are kept.

    Args:
        ordered: whether the rows are states of which the latest counts, so that each has to say
            what happened (`_op`) and when (`_changed_at`, `_order`).
    """
    schema = session.sql(rows).schema
    passed = [name for name in schema.names if name.startswith("_")]
    columns = [(column, schema[column.name].dataType) for column in contract_fields(contract)]
    names = [f"`{column.name}`" for column, _ in columns]
    typed = f"select {', '.join([*passed, *(_typed(*column) for column in columns)])} from ({rows})"
    if lists := [column for column, _ in columns if column.item]:
        read = (f"transform(`_read_{c.name}`, item -> item.read) as `{c.name}`" for c in lists)
        typed = f"select *, {', '.join(read)} from ({typed})"
    failures = [failure for column in columns for failure in _unheld(*column)]
    if ordered:
        failures += _unordered()
    failures += [
        # A delete need not carry more than the key of what it deletes.
        (check.name, f"{_applies(check.column, keys(contract))} and {check.failure}")
        for check in compile_checks(contract)
    ]
    # Each condition is written once: what an engine takes to plan grows with the text.
    flags = [f"({condition}) as {_flag(place)}" for place, (_, condition) in enumerate(failures)]
    flagged = f"select {', '.join([*passed, *names, *flags])} from ({typed})"
    reasons = _reasons([reason for reason, _ in failures])
    checked = f"select {', '.join([*passed, *names])}, {reasons} from ({flagged})"
    # Of a bare column an engine would only mask the values, and carry them all along.
    kept = [
        f"case when {REFUSED} then concat({name}, '') end as {name}" if name in RECORD else name
        for name in passed
    ]
    return f"select {', '.join([*kept, *names, REASONS])} from ({checked})"


Failure = tuple[str, str]
"""A reason to refuse a row, and SQL that is true for the rows that have it."""


def _flag(place: int) -> str:
    return f"`_failed_{place}`"


def _reasons(names: Sequence[str]) -> str:
    # Of most rows nothing fails, which is cheaper to find out than an array of what might.
    fails = " or ".join(_flag(place) for place in range(len(names)))
    each = ", ".join(
        f"case when {_flag(place)} then '{name}' end" for place, name in enumerate(names)
    )
    return (
        f"case when _op is distinct from '{EMPTY}' and ({fails}) "
        f"then filter(array({each}), reason -> reason is not null) "
        f"else cast(array() as array<string>) end as {REASONS}"
    )


def _typed(column: ContractField, arrives: DataType) -> str:
    """SQL for a column in its type; of what has to be read for it, whether it was given, too."""
    name, type_ = column.name, column.spark_type
    if column.item:
        return f"{_read_records(column)} as `_read_{name}`"
    if arrives.simpleString() == type_:
        return f"`{name}`"
    text = isinstance(arrives, StringType)
    value = _reader(type_, f"`{name}`") if text else f"try_cast(`{name}` as {type_})"
    given = f"nullif(trim(`{name}`), '')" if text else f"`{name}`"
    return f"{value} as `{name}`, {given} is not null as `_given_{name}`"


def _unheld(column: ContractField, arrives: DataType) -> Iterator[Failure]:
    """Why a column's value cannot be held."""
    name, type_ = column.name, column.spark_type
    if column.item:
        yield from _unread_records(column)
    elif arrives.simpleString() != type_:
        reason = "unreadable" if isinstance(arrives, StringType) else "out_of_range"
        yield f"{name}_{reason}", f"`_given_{name}` and `{name}` is null"
    if type_ in ("timestamp", "date"):
        yield f"{name}_out_of_range", _outside(name, type_)


def _unordered() -> Iterator[Failure]:
    """Why a row cannot be told to be before or after another."""
    for column in ("_op", "_changed_at", "_order"):
        yield f"{column[1:]}_missing", f"{column} is null"
    yield "changed_at_out_of_range", _outside("_changed_at", "timestamp")


def _read_records(column: ContractField) -> str:
    """SQL for a list of records, each as it came (`given`) and as its types read it (`read`)."""
    fields = ", ".join(
        f"'{name}', {_reader(type_.spark, f'item.`{name}`')}"
        for name, type_ in column.type.fields.items()
    )
    read = f"named_struct('given', item, 'read', named_struct({fields}))"
    return f"transform(`{column.name}`, item -> {read})"


def _unread_records(column: ContractField) -> Iterator[Failure]:
    """Why records of a list cannot be read."""
    for name, type_ in column.type.fields.items():
        if type_.spark != "string":
            given = f"nullif(trim(item.given.`{name}`), '') is not null"
            unread = f"item -> {given} and item.read.`{name}` is null"
            yield f"{column.name}_{name}_unreadable", f"exists(`_read_{column.name}`, {unread})"


def _outside(column: str, type_: str) -> str:
    return f"(`{column}` < {type_}'{BEGIN}' or `{column}` >= {type_}'{END}')"


def _applies(column: str, keys: Sequence[str]) -> str:
    return "true" if column in keys else "_op is distinct from 'd'"
