"""Column lineage of windowed tables, from the queries that compute them."""

from collections.abc import Mapping

from aquifer.contract import Contract, contract_fields
from aquifer.event_source import EventSource
from aquifer.gold_lineage import query_lineage
from aquifer.stream_windows import END, FINAL, START, WindowedTable

Lineage = Mapping[str, list[tuple[str, str]]]
"""For each column, the upstream tables and columns that it is made from."""


def window_lineage(table: WindowedTable) -> Lineage:
    """What the columns of a windowed table are made from, over all its sources."""
    columns = [column.name for column in contract_fields(table.contract)]
    found: dict[str, list[tuple[str, str]]] = {column: [] for column in columns}
    for source in table.sources.values():
        for column, upstream in query_lineage(
            _query(table, source), columns, _upstreams(table, source)
        ).items():
            found[column] += upstream
    return found


def _query(table: WindowedTable, source: EventSource) -> str:
    """The table's query over a source, as far as columns go."""
    label = f", '' as {table.label}" if table.label else ""
    relations = [
        f"events as (select *, {source.time} as {START}, {source.time} as {END}{label} "
        f"from {source.name})",
        *(f"{each.alias} as (select * from {each.name})" for each in table.dimensions),
    ]
    return f"with {', '.join(relations)} select *, {END} as {FINAL} from ({table.query})"


def _upstreams(table: WindowedTable, source: EventSource) -> dict[str, dict[str, str]]:
    contracts: dict[str, type[Contract]] = {source.name: source.table.contract}
    contracts |= {dimension.name: dimension.contract for dimension in table.dimensions}
    return {
        name: {column.name: column.spark_type for column in contract_fields(contract)}
        for name, contract in contracts.items()
    }
