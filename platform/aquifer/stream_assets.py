"""Asset definitions of stream tables: a materialisation takes in what came too late, too.

Belongs here: their specs, checks and column lineage. Does not: how a table is advanced
(`stream_table`), which the drain does between materialisations.
"""

from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    multi_asset,
)

from aquifer.asset_checks import stream_check_results, stream_check_specs
from aquifer.assets import code_version, permanent_errors_fail_at_once
from aquifer.automation import RETRIES, gone_stale, upstream_advanced
from aquifer.models.stream_scores import ScoreTable
from aquifer.runtime import Runtime
from aquifer.specs import Lineage, materialization, table_spec
from aquifer.stream_lineage import window_lineage
from aquifer.stream_table import StreamTable
from aquifer.stream_windows import WindowedTable


def stream_asset(table: StreamTable) -> AssetsDefinition:
    """The asset of a stream table."""
    followed = [upstream_advanced(table.upstreams)] if table.follows else []

    @multi_asset(
        name=table.name.replace(".", "_"),
        specs=[
            table_spec(
                table.name,
                table.contract,
                deps=[*table.upstreams, *table.follows],
                kinds={"stream", "deltalake", "spark"},
                code_version=code_version(table.schema, table.code),
                condition=reduce(or_, [*followed, gone_stale()]),
            )
        ],
        check_specs=stream_check_specs(table),
        required_resource_keys={"lake", "engine", *table.resources},
        retry_policy=RETRIES,
    )
    def catch_up(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        resources = context.resources
        champions = resources.registry.champions if "registry" in table.resources else None
        session, lake = resources.engine.spark_session, resources.lake.lake
        runtime = Runtime(session, lake, champions=champions)
        with permanent_errors_fail_at_once():
            advanced = table.catch_up(runtime)
            checks = stream_check_results(runtime, table)
        yield materialization(advanced, lineage=stream_lineage(table), checks=checks)

    return catch_up


def stream_lineage(table: StreamTable) -> Lineage:
    """The columns that each column is made from, as far as a query tells."""
    if isinstance(table, ScoreTable):
        return table.lineage()
    return window_lineage(table) if isinstance(table, WindowedTable) else {}
