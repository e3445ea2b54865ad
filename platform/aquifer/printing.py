"""What the `aquifer` command prints: the result of a query, the summary of a demo.

Belongs here: forms for people and for programs. Does not: arguments and exit codes (`cli`).
"""

import csv
import json
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from aquifer.query import Queries

if TYPE_CHECKING:
    from aquifer.foreground import Outcome
    from aquifer.lake import Lake


def print_json(result: pa.Table) -> None:
    """Print rows as one array of objects; a decimal that no float holds is text."""
    rows = [_plain_row(row, _number) for row in result.to_pylist()]
    print(json.dumps(rows, ensure_ascii=False))


def print_csv(result: pa.Table) -> None:
    """Print rows as comma-separated values with a header."""
    csv.writer(sys.stdout).writerows([result.column_names, *_texts(result)])


def print_table(result: pa.Table) -> None:
    """Print rows for a person."""
    table = Table(*result.column_names)
    for row in _texts(result):
        table.add_row(*("" if value is None else str(value) for value in row))
    _console(200).print(table)


def print_summary(lake: "Lake", outcome: "Outcome", seconds: float) -> None:
    """Print what a demo came to: the rows of each table, checks, what is refused and why."""
    queries = Queries(lake)
    table = Table("table", "rows", title="The lake")
    table.columns[1].justify = "right"
    for name in lake.names():
        rows = queries.run(f"select count(*) as n from {name}")["n"][0].as_py()
        if rows or not name.endswith("_quarantine"):
            table.add_row(name, f"{rows:,}")
    console = _console(120)
    console.print(table)
    console.print(
        f"checks: {outcome.passed} passed, {len(outcome.warned)} warned, "
        f"{len(outcome.failed)} failed"
    )
    for name, rows in sorted(outcome.reasons.items()):
        console.print(f"  quarantined: {name}: {rows:,} rows")
    for failed in [*outcome.failed, *outcome.failures]:
        console.print(f"  failed: {failed}", markup=False, soft_wrap=True)
    console.print(f"{seconds:.1f} s; look at it with `make up`")


def _console(width: int) -> Console:
    """As wide as the terminal, or of this width where there is none."""
    return Console(width=None if sys.stdout.isatty() else width)


def _texts(result: pa.Table) -> list[list[Any]]:
    return [list(_plain_row(row, str).values()) for row in result.to_pylist()]


def _plain_row(row: Mapping[str, Any], decimal: Callable[[Decimal], Any]) -> dict[str, Any]:
    """A row of plain values: instants and days as ISO text, decimals by `decimal`."""
    return {name: _plain(value, decimal) for name, value in row.items()}


def _plain(value: Any, decimal: Callable[[Decimal], Any]) -> Any:
    if isinstance(value, Decimal):
        return decimal(value)
    if isinstance(value, list):
        return [_plain(item, decimal) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


def _number(value: Decimal) -> float | int | str:
    number = float(value)
    if Decimal(repr(number)) != value:
        return str(value)
    return int(value) if value == value.to_integral_value() else number
