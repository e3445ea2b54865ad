"""Checks: a contract's Pandera checks as Spark SQL predicates.

They run inside the plan that writes the rows, because each refused row needs its reasons. Pandera
is their oracle: tests hold both to the same verdict, check by check and row by row.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

from pandera.api.checks import Check

from aquifer.contract import Contract, contract_fields, schema_of, table_metadata
from aquifer.engine import literal
from aquifer.errors import ContractError


@dataclass(frozen=True)
class CompiledCheck:
    """One check of a contract.

    Attributes:
        name: `<column>_<check>`, or the name of a rule.
        column: the column it is about; empty for a rule over several.
        failure: Spark SQL, true for the rows that fail and never null.
        description: the rule in words.
    """

    name: str
    column: str
    failure: str
    description: str


@cache
def compile_checks(contract: type[Contract]) -> tuple[CompiledCheck, ...]:
    """The contract's checks, in the order of its columns, then its rules."""
    compiled = []
    for field in contract_fields(contract):
        column = f"`{field.name}`"
        if not field.nullable:
            compiled.append(
                CompiledCheck(
                    f"{field.name}_not_null",
                    field.name,
                    f"{column} is null",
                    f"{field.name} is given and can be read",
                )
            )
        for check in schema_of(contract).columns[field.name].checks:
            name, holds, words = _compile(contract, field.name, check)
            compiled.append(
                CompiledCheck(
                    f"{field.name}_{name}",
                    field.name,
                    # Pandera passes nulls; whether they are allowed is the check before.
                    f"({column} is not null and not ({holds}))",
                    f"{field.name} {words}",
                )
            )
    for name, rule in (table_metadata(contract).rules or {}).items():
        compiled.append(CompiledCheck(name, "", f"coalesce(not ({rule}), false)", rule))
    return tuple(compiled)


_Compiled = tuple[str, str, str]
"""The check's name, the predicate that holds for good values, and the rule in words."""


def _compile(contract: type[Contract], column: str, check: Check) -> _Compiled:
    compiler = _COMPILERS.get(str(check.name))
    if compiler is None:
        raise ContractError(
            f"{contract.__name__}.{column}: the check '{check.name}' cannot be compiled to SQL; "
            f"use one of {', '.join(sorted(_COMPILERS))}, or a rule of the table"
        )
    try:
        return compiler(f"`{column}`", check.statistics)
    except ContractError as error:
        raise ContractError(f"{contract.__name__}.{column}: {error}") from error


def _comparison(name: str, operator: str, statistic: str) -> Callable[..., _Compiled]:
    def compile_comparison(column: str, statistics: Mapping[str, Any]) -> _Compiled:
        value = _value(statistics[statistic])
        return name, f"{column} {operator} {value}", f"{operator} {value}"

    return compile_comparison


def _in_range(column: str, statistics: Mapping[str, Any]) -> _Compiled:
    low, high = _value(statistics["min_value"]), _value(statistics["max_value"])
    above = ">=" if statistics.get("include_min", True) else ">"
    below = "<=" if statistics.get("include_max", True) else "<"
    return (
        "in_range",
        f"{column} {above} {low} and {column} {below} {high}",
        f"{above} {low} and {below} {high}",
    )


def _membership(name: str, statistic: str, operator: str) -> Callable[..., _Compiled]:
    def compile_membership(column: str, statistics: Mapping[str, Any]) -> _Compiled:
        values = ", ".join(_value(value) for value in statistics[statistic])
        return name, f"{column} {operator} ({values})", f"{operator} ({values})"

    return compile_membership


def _matches(column: str, statistics: Mapping[str, Any]) -> _Compiled:
    pattern = _pattern(statistics["pattern"])
    # Java's $ also matches before a last line feed, Rust's does not.
    exact = literal(pattern.removesuffix("$") + r"\z")
    return "str_matches", f"{column} rlike {exact}", f"matches {pattern}"


_UNPORTABLE = re.compile(r"\(\?|\\[1-9dDwWsSbBAzZ]")


def _pattern(pattern: Any) -> str:
    text = pattern.pattern if isinstance(pattern, re.Pattern) else str(pattern)
    if not (text.startswith("^") and text.endswith("$")):
        raise ContractError(f"the pattern {text} is not whole; write it as ^...$")
    if _UNPORTABLE.search(text):
        raise ContractError(
            f"the pattern {text} means different things to different engines; "
            "write [0-9] and the like, without look-around and back-references"
        )
    return text


def _contains(column: str, statistics: Mapping[str, Any]) -> _Compiled:
    text = str(statistics["pattern"])
    if re.escape(text) != text and re.search(r"[.^$*+?{}\[\]\\|()]", text):
        raise ContractError(f"str_contains takes plain text here, and '{text}' is a pattern")
    return "str_contains", f"contains({column}, {literal(text)})", f"contains '{text}'"


def _starts(column: str, statistics: Mapping[str, Any]) -> _Compiled:
    text = str(statistics["string"])
    return "str_startswith", f"startswith({column}, {literal(text)})", f"begins with '{text}'"


def _ends(column: str, statistics: Mapping[str, Any]) -> _Compiled:
    text = str(statistics["string"])
    return "str_endswith", f"endswith({column}, {literal(text)})", f"ends with '{text}'"


def _length(column: str, statistics: Mapping[str, Any]) -> _Compiled:
    bounds = [("min_value", ">="), ("max_value", "<="), ("exact_value", "=")]
    parts = [
        f"char_length({column}) {operator} {statistics[bound]}"
        for bound, operator in bounds
        if statistics.get(bound) is not None
    ]
    predicate = " and ".join(parts)
    return "str_length", predicate, predicate.replace(f"char_length({column})", "length")


_COMPILERS: Mapping[str, Callable[[str, Mapping[str, Any]], _Compiled]] = {
    "equal_to": _comparison("eq", "=", "value"),
    "not_equal_to": _comparison("ne", "<>", "value"),
    "greater_than": _comparison("gt", ">", "min_value"),
    "greater_than_or_equal_to": _comparison("ge", ">=", "min_value"),
    "less_than": _comparison("lt", "<", "max_value"),
    "less_than_or_equal_to": _comparison("le", "<=", "max_value"),
    "in_range": _in_range,
    "isin": _membership("isin", "allowed_values", "in"),
    "notin": _membership("notin", "forbidden_values", "not in"),
    "str_matches": _matches,
    "str_contains": _contains,
    "str_startswith": _starts,
    "str_endswith": _ends,
    "str_length": _length,
}


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | Decimal):
        return str(value)
    if isinstance(value, float):
        return f"cast({value!r} as double)"
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, datetime):
        return f"timestamp'{value.isoformat(sep=' ')}'"
    if isinstance(value, date):
        return f"date'{value.isoformat()}'"
    raise ContractError(f"the value {value!r} cannot be written in SQL")
