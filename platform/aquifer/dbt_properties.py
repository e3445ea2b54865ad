"""dbt's sources and properties, generated from the contracts.

Belongs here: what dbt must know of a table, so that nobody writes it twice. Does not: running dbt.
"""

from collections.abc import Mapping
from typing import Any

import yaml

from aquifer.checks import compile_checks
from aquifer.contract import Contract, contract_fields, describe, keys, table_metadata

HEADER = "# Generated from the contracts by `aquifer dbt-properties`. Do not edit.\n"


def properties(sources: Mapping[str, type[Contract]], models: Mapping[str, type[Contract]]) -> str:
    """The YAML file of all sources and models, by table name (`silver.orders`)."""
    content = {
        "version": 2,
        "sources": _sources(sources),
        "models": [_model(name, contract) for name, contract in sorted(models.items())],
    }
    return HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _sources(tables: Mapping[str, type[Contract]]) -> list[dict[str, Any]]:
    schemas: dict[str, list[dict[str, Any]]] = {}
    for name, contract in sorted(tables.items()):
        schema, table = name.split(".")
        schemas.setdefault(schema, []).append(
            {"name": table, "description": describe(contract), "columns": _columns(contract)}
        )
    return [{"name": schema, "tables": tables} for schema, tables in schemas.items()]


def _columns(contract: type[Contract]) -> list[dict[str, Any]]:
    return [
        {"name": field.name, "data_type": field.spark_type, "description": field.description}
        for field in contract_fields(contract)
    ]


def _model(name: str, contract: type[Contract]) -> dict[str, Any]:
    table = name.split(".")[1]
    columns = _columns(contract)
    for column, field in zip(columns, contract_fields(contract), strict=True):
        if field.references:
            _, to, to_column = field.references.split(".")
            column["data_tests"] = [
                {
                    "refers": {
                        "name": f"{table}_{field.name}_refers",
                        "arguments": {"to": f"ref('{to}')", "field": to_column},
                    }
                }
            ]
    return {
        "name": table,
        "description": describe(contract),
        "columns": columns,
        "data_tests": _tests(table, contract),
    }


def _tests(table: str, contract: type[Contract]) -> list[dict[str, Any]]:
    checks = [{"name": c.name, "failure": c.failure} for c in compile_checks(contract)]
    tests = [
        {"contract": {"name": f"{table}_contract", "arguments": {"checks": checks}}},
        {"unique_in_build": {"name": f"{table}_unique", "arguments": {"key": keys(contract)}}},
    ]
    natural_key = table_metadata(contract).versions_of
    if natural_key:
        versions = {"name": f"{table}_versions", "arguments": {"natural_key": natural_key}}
        tests.append({"one_version_at_a_time": versions})
    return tests
