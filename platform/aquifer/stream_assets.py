"""Asset definitions of stream tables: a materialisation takes in what came too late, too.

Belongs here: their specs, checks and column lineage. Does not: how a table is advanced
(`stream_table`), which the drain does between materialisations.
"""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    MaterializeResult,
    multi_asset,
)

from aquifer.assets import code_version, permanent_errors_fail_at_once
from aquifer.automation import RETRIES, gone_stale
from aquifer.checks import compile_checks
from aquifer.engine import register
from aquifer.lake import DELETED
from aquifer.runtime import Runtime
from aquifer.specs import Lineage, asset_key, materialization, table_spec
from aquifer.stream_lineage import window_lineage
from aquifer.stream_table import StreamTable
from aquifer.stream_windows import WindowedTable


def stream_asset(table: StreamTable) -> AssetsDefinition:
    """The asset of a stream table."""
    key = asset_key(table.name)

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
        check_specs=[
            AssetCheckSpec(check.name, asset=key, description=check.description)
            for check in compile_checks(table.contract)
        ],
        required_resource_keys={"lake", "engine"},
        retry_policy=RETRIES,
    )
    def catch_up(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        runtime = Runtime(context.resources.engine.spark_session, context.resources.lake.lake)
        with permanent_errors_fail_at_once():
            advanced = table.catch_up(runtime)
            checks = stream_check_results(runtime, table)
        yield materialization(advanced, lineage=stream_lineage(table), checks=checks)

    return catch_up


def stream_lineage(table: StreamTable) -> Lineage:
    """The columns that each column is made from, as far as a query tells."""
    return window_lineage(table) if isinstance(table, WindowedTable) else {}


def stream_check_results(runtime: Runtime, table: StreamTable) -> list[AssetCheckResult]:
    """What the contract's checks say of the rows that stand."""
    checks = compile_checks(table.contract)
    register(runtime.session, runtime.lake, [table.name])
    counts = ", ".join(f"count_if({c.failure}) as `{c.name}`" for c in checks)
    counted = runtime.session.sql(f"select {counts} from {table.name} where not {DELETED}")
    (failed,) = counted.toArrow().to_pylist()
    return [
        AssetCheckResult(
            passed=not failed[check.name],
            asset_key=asset_key(table.name),
            check_name=check.name,
            metadata={"rows failed": failed[check.name]},
        )
        for check in checks
    ]
