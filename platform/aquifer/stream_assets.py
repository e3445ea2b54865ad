"""Asset definitions of stream tables: a materialisation takes in what came too late, too.

Belongs here: their specs, checks and column lineage. Does not: how a table is advanced
(`stream_table`), which the drain does between materialisations.
"""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    multi_asset,
)

from aquifer.asset_checks import LIVE, contract_check_results, contract_check_specs
from aquifer.assets import code_version, permanent_errors_fail_at_once
from aquifer.automation import RETRIES, gone_stale
from aquifer.runtime import Runtime
from aquifer.specs import Lineage, materialization, table_spec
from aquifer.stream_lineage import window_lineage
from aquifer.stream_table import StreamTable
from aquifer.stream_windows import WindowedTable


def stream_asset(table: StreamTable) -> AssetsDefinition:
    """The asset of a stream table."""

    @multi_asset(
        name=table.name.replace(".", "_"),
        specs=[
            table_spec(
                table.name,
                table.contract,
                deps=table.upstreams,
                kinds={"stream", "deltalake", "spark"},
                code_version=code_version(table.schema, table.code),
                condition=gone_stale(),
            )
        ],
        check_specs=contract_check_specs(table.name, table.contract),
        required_resource_keys={"lake", "engine"},
        retry_policy=RETRIES,
    )
    def catch_up(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        runtime = Runtime(context.resources.engine.spark_session, context.resources.lake.lake)
        with permanent_errors_fail_at_once():
            advanced = table.catch_up(runtime)
            checks = contract_check_results(runtime, table.name, table.contract, LIVE)
        yield materialization(advanced, lineage=stream_lineage(table), checks=checks)

    return catch_up


def stream_lineage(table: StreamTable) -> Lineage:
    """The columns that each column is made from, as far as a query tells."""
    return window_lineage(table) if isinstance(table, WindowedTable) else {}
