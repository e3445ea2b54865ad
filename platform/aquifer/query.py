"""Queries on the lake: DuckDB over the Delta tables, without an engine session.

Belongs here: reading with SQL. Does not: writing, which only assets do.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
from deltalake import DeltaTable

from aquifer.errors import AquiferError
from aquifer.lake import Lake
from aquifer.merge import DELETED

_TABLE = re.compile(r'\b"?(bronze|silver|gold|features)"?\s*\.\s*"?([a-z][a-z0-9_]*)"?', re.IGNORECASE)


class QueryError(AquiferError):
    """A query that cannot be answered."""


class Queries:
    """A warm reader of a lake: tables are opened once, and looked at again for each query.

    Rows that a silver table marks as deleted are not shown.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._connection = duckdb.connect(config={"TimeZone": "UTC"})
        self._open: dict[str, DeltaTable] = {}
        self._shown: dict[str, int] = {}

    def run(self, sql: str) -> pa.Table:
        """The result of one SQL statement over `<layer>.<table>` names.

        Raises:
            QueryError: a table does not exist, or the SQL is wrong.
        """
        for layer, table in sorted(set(_TABLE.findall(sql))):
            self._show(layer.lower(), table.lower())
        try:
            result: pa.Table = self._connection.execute(sql).to_arrow_table()
        except duckdb.Error as error:
            raise QueryError(str(error).splitlines()[0]) from error
        return result

    def _show(self, layer: str, table: str) -> None:
        name = f"{layer}.{table}"
        if name in self._open:
            self._open[name].update_incremental()
        elif self._lake.exists(name):
            self._open[name] = self._lake.table(name)
        else:
            known = ", ".join(self._lake.names()) or "none yet; run `make demo` first"
            raise QueryError(f"there is no table {name}; the tables are: {known}")
        delta = self._open[name]
        if self._shown.get(name) == delta.version():
            return
        dataset = delta.to_pyarrow_dataset()
        source = f"{layer}_{table}_files"
        self._connection.register(source, dataset)
        live = f" where not {DELETED}" if DELETED in dataset.schema.names else ""
        self._connection.execute(f'create schema if not exists "{layer}"')
        self._connection.execute(
            f'create or replace view "{layer}"."{table}" as select * from {source}{live}'
        )
        self._shown[name] = delta.version()


def plain(row: Mapping[str, Any], decimal: Callable[[Decimal], Any]) -> dict[str, Any]:
    """A row of plain values: instants and days as ISO text, decimals by `decimal`."""
    return {name: _plain(value, decimal) for name, value in row.items()}


def _plain(value: Any, decimal: Callable[[Decimal], Any]) -> Any:
    if isinstance(value, Decimal):
        return decimal(value)
    if isinstance(value, list):
        return [_plain(item, decimal) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value
