"""Masking: personal data as it may be shown to whoever reads metadata."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from aquifer.contract import Contract, contract_fields


def _first_letter(text: str) -> str:
    return f"{text[:1]}***"


def _email(text: str) -> str:
    local, _, domain = text.partition("@")
    return f"{_first_letter(local)}@{domain}"


def _pseudonym(text: str) -> str:
    return f"#{hashlib.sha256(text.encode()).hexdigest()[:8]}"


MASKS: Mapping[str, Callable[[str], str]] = {
    "name": _first_letter,
    "email": _email,
    "phone": lambda text: f"***{text[-2:]}",
    "address": lambda text: "***",
    "customer": _pseudonym,
}
"""How each kind of personal data is shown."""


def mask(rows: pa.Table, contract: type[Contract]) -> pa.Table:
    """The contract's columns of `rows`, personal data masked."""
    columns = {}
    for field in contract_fields(contract):
        column = rows[field.name]
        if field.pii:
            shown = MASKS[field.pii]
            values = [None if value is None else shown(value) for value in column.to_pylist()]
            columns[field.name] = pa.chunked_array([pa.array(values, pa.string())])
        else:
            columns[field.name] = column
    return pa.table(columns)


def sample_markdown(rows: pa.Table, contract: type[Contract], most: int = 5) -> str:
    """The first rows as a Markdown table, personal data masked; empty for no rows."""
    shown = mask(rows.slice(0, most), contract)
    if not len(shown):
        return ""
    lines = [_line(shown.column_names), _line(["---"] * shown.num_columns)]
    lines += [_line(list(row.values())) for row in shown.to_pylist()]
    return "\n".join(lines)


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    text = f"{text[:77]}..." if len(text) > 80 else text
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("\r", " ")
