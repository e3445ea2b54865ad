"""Serving: tables that queries see and nobody stores.

Belongs here: how what a batch has made of the past is merged with the speed layer, and views over
such. Does not: the speed layer's rows (`speed_layer`), and running queries (`query`).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from sqlglot import exp, parse_one

from aquifer.cache import Cache
from aquifer.contract import Contract, contract_fields
from aquifer.lake import Lake
from aquifer.query import QueryError
from aquifer.speed_layer import TOUCHED, SpeedLayer


@dataclass(frozen=True)
class ServingView:
    """A query under a name.

    Args:
        name: `serving.<table>`.
        contract: its columns.
        query: DuckDB SQL over tables of the lake and of serving; instants are in UTC without a
            zone.
    """

    name: str
    contract: type[Contract]
    query: str

    @property
    def upstreams(self) -> Sequence[str]:
        """The tables that the query names."""
        named = parse_one(self.query, dialect="duckdb").find_all(exp.Table)
        return sorted({f"{table.db}.{table.name}" for table in named})

    @property
    def code(self) -> str:
        """What decides the rows, beside those that they are computed from."""
        return self.query

    def sql(self, lake: Lake, cache: Cache | None, register: Callable[[str, pa.Table], str]) -> str:
        """The query."""
        return self.query


@dataclass(frozen=True)
class MergedView:
    """What a batch table has of the past, and the speed layer of what it has not seen whole.

    Args:
        name: `serving.<table>`.
        contract: its columns, which the batch table has, too.
        batch: the batch table, `gold.<table>`, whose progress in the source is recorded.
        speed: the speed layer.
        time: the column that a window begins with.
        stream: SQL that is true for those rows of the batch table that are of the source.
    """

    name: str
    contract: type[Contract]
    batch: str
    speed: SpeedLayer
    time: str
    stream: str

    @property
    def upstreams(self) -> Sequence[str]:
        """The batch table, and what the speed layer reads."""
        return [self.batch, *self.speed.upstreams]

    @property
    def code(self) -> str:
        """What decides the rows, beside those that they are computed from."""
        return self.speed.query

    def sql(self, lake: Lake, cache: Cache | None, register: Callable[[str, pa.Table], str]) -> str:
        """The batch's rows but for windows that have news, and these from the speed layer."""
        # Asked for before the rows are read: of what a batch makes meanwhile, windows are only
        # computed needlessly.
        since = lake.progress(self.batch, self.speed.source.name)
        columns = ", ".join(column.name for column in contract_fields(self.contract))
        parts = []
        touched: list[int] = []
        if lake.exists(self.speed.source.name):
            rows = self.speed.rows(lake, since, cache)
            touched = json.loads(rows.schema.metadata[TOUCHED])
            name = register(self.name.replace(".", "_"), rows)
            parts.append(f"select {columns} from {name}")
        if lake.exists(self.batch):
            begins = pa.table({"begin": pa.array(touched, pa.int64())})
            windows = register(f"{self.name.replace('.', '_')}_touched", begins)
            parts.append(
                f"select {columns} from {self.batch} where not (({self.stream}) "
                f"and epoch_us({self.time}) in (select begin from {windows}))"
            )
        if not parts:
            raise QueryError(
                f"{self.name} has neither {self.batch} nor {self.speed.source.name} to answer "
                "from; run `make demo` first"
            )
        return " union all ".join(parts)


Served = ServingView | MergedView
