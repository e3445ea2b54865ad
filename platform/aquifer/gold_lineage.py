"""Column lineage of gold tables, from the SQL that built them."""

from collections.abc import Mapping
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.lineage import lineage
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import build_scope

from aquifer.lineage import DIALECT

Columns = Mapping[str, Mapping[str, str]]
"""The columns of each upstream table (`silver.orders`), with their types."""


def query_lineage(
    sql: str, columns: list[str], upstreams: Columns
) -> dict[str, list[tuple[str, str]]]:
    """For each column of a query, the upstream tables and columns that it is made from."""
    schema: dict[str, Any] = {}
    for name, types in upstreams.items():
        layer, table = name.split(".")
        schema.setdefault(layer, {})[table] = types
    query = qualify(
        parse_one(sql, dialect=DIALECT),
        schema=schema,
        dialect=DIALECT,
        validate_qualify_columns=False,
        identify=False,
    )
    scope = build_scope(query)
    found = {}
    for column in columns:
        leaves = [
            (f"{node.expression.db}.{node.expression.name}", node.name.rpartition(".")[2])
            for node in lineage(column, query, schema, scope=scope, dialect=DIALECT).walk()
            if isinstance(node.expression, exp.Table)
        ]
        found[column] = sorted({leaf for leaf in leaves if leaf[0] in upstreams})
    return found
