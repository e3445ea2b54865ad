"""Masking: personal data as it may be shown to whoever reads metadata.

Belongs here: how each kind is shown. Does not: which columns are personal (their contract says).
A pseudonym tells equal values from different ones; it is no secret to who can try all values.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pyarrow as pa

from aquifer.contract import Contract, contract_fields

HIDDEN = "***"
_LONGEST_CELL = 80


def _first_letter(text: str) -> str:
    return f"{text[:1]}{HIDDEN}"


def _email(text: str) -> str:
    local, at, domain = text.rpartition("@")
    return f"{_first_letter(local)}@{domain}" if at else _first_letter(text)


def _last_digits(text: str) -> str:
    digits = re.sub(r"[^0-9]", "", text)
    # Of a short number, two digits would be most of it.
    return f"{HIDDEN}{digits[-2:]}" if len(digits) > 4 else HIDDEN


def _pseudonym(text: str) -> str:
    return f"#{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _hidden(text: str) -> str:
    return HIDDEN


MASKS: Mapping[str, Callable[[str], str]] = {
    "name": _first_letter,
    "email": _email,
    "phone": _last_digits,
    "address": _hidden,
    "customer": _pseudonym,
    "record": _hidden,
}
"""How each kind of personal data is shown; a `record` is a whole row as received."""


def mask(rows: pa.Table, contract: type[Contract]) -> pa.Table:
    """The contract's columns of `rows`, personal data masked; masked columns are text."""
    columns = {}
    for field in contract_fields(contract):
        column = rows[field.name]
        columns[field.name] = _masked(column, MASKS[field.mask]) if field.mask else column
    return pa.table(columns)


def sample_markdown(table: pa.Table, contract: type[Contract], rows: int = 5) -> str:
    """The first `rows` as a Markdown table, personal data masked; empty for no rows."""
    shown = mask(table.slice(0, rows), contract)
    if not len(shown):
        return ""
    lines = [shown.column_names, ["---"] * shown.num_columns]
    lines += [[_cell(value) for value in row.values()] for row in shown.to_pylist()]
    return "\n".join(_line(cells) for cells in lines)


def _masked(column: pa.ChunkedArray, shown: Callable[[str], str]) -> pa.Array:
    return pa.array(
        [None if value is None else shown(str(value)) for value in column.to_pylist()], pa.string()
    )


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    text = "" if value is None else " ".join(str(value).splitlines())
    text = f"{text[: _LONGEST_CELL - 3]}..." if len(text) > _LONGEST_CELL else text
    # What would end the cell, or be a tag, a link or code in it.
    return re.sub(r"([\\|<\[`])", r"\\\1", text)
