"""Serving: tables that queries see and nobody stores.

Belongs here: how what a batch has made of the past is merged with the speed layer, and views over
such. Does not: the speed layer's rows (`speed_layer`), and running queries (`query`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from aquifer.cache import Cache
from aquifer.contract import Contract, contract_fields
from aquifer.lake import Lake
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

    def merged(
        self, lake: Lake, cache: Cache | None, register: Callable[[str, pa.Table], str]
    ) -> str:
        """SQL of the rows; the batch table is named as the lake does.

        Args:
            register: names rows to the query; returns the name.
        """
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
        return " union all ".join(parts)


Served = ServingView | MergedView
