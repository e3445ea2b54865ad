"""JSON Schema of a contract: what an event of its kind looks like.

Belongs here: types, and the checks that JSON Schema has words for. Does not: any other format.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from aquifer.contract import Contract, ContractField, Record, contract_fields, schema_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TEXT = {
    "str_matches": {"pattern": "pattern"},
    "str_length": {"min_value": "minLength", "max_value": "maxLength"},
    "isin": {"allowed_values": "enum"},
}
_NUMBER = {
    "greater_than": {"min_value": "exclusiveMinimum"},
    "greater_than_or_equal_to": {"min_value": "minimum"},
    "less_than": {"max_value": "exclusiveMaximum"},
    "less_than_or_equal_to": {"max_value": "maximum"},
    "isin": {"allowed_values": "enum"},
}
# Money, instants and days are text in JSON, where their order means nothing.
_KEYWORDS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "string": _TEXT,
    "bigint": _NUMBER,
    "double": _NUMBER,
}


def json_schema(contract: type[Contract]) -> dict[str, Any]:
    """One row as an object, in JSON Schema (draft 2020-12).

    The contract is at least as strict: checks that JSON Schema has no keyword for are left out.
    Unknown properties are allowed, as a source may add columns.
    """
    return {"$schema": DIALECT, **_object(contract)}


def _object(record: type[Record]) -> dict[str, Any]:
    fields = contract_fields(record)
    return {
        "title": record.__name__,
        "description": inspect.cleandoc(record.__doc__ or ""),
        "type": "object",
        "properties": {field.name: _property(record, field) for field in fields},
        "required": [field.name for field in fields if not field.nullable],
    }


def _property(contract: type[Record], field: ContractField) -> dict[str, Any]:
    schema = {**field.type.json, **_constraints(contract, field)}
    if field.item:
        schema["items"] = _object(field.item)
    if field.nullable:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"] = [*schema["enum"], None]
    if field.description:
        schema["description"] = field.description
    return schema


def _constraints(contract: type[Record], field: ContractField) -> dict[str, Any]:
    words = _KEYWORDS.get(field.spark_type, {})
    return {
        keyword: check.statistics[statistic]
        for check in schema_of(contract).columns[field.name].checks
        for statistic, keyword in words.get(str(check.name), {}).items()
        if check.statistics.get(statistic) is not None
    }
