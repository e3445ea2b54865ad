"""Asset definitions of bronze and silver tables; both run the table's one `advance`."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    DataVersion,
    Failure,
    MaterializeResult,
    multi_asset,
)

from aquifer.asset_checks import (
    bronze_check_results,
    bronze_check_specs,
    check_results,
    check_specs,
)
from aquifer.automation import RETRIES, gone_stale, upstream_advanced
from aquifer.bronze import BronzeTable
from aquifer.contract import contract_fields
from aquifer.disk import disk_trouble
from aquifer.errors import AquiferError, PassingError
from aquifer.lineage import raw_fields
from aquifer.quarantine import QuarantinedRow, quarantine_name
from aquifer.runtime import Runtime
from aquifer.silver_events import EventTable
from aquifer.silver_table import SilverTable
from aquifer.specs import Lineage, asset_key, materialization, table_spec


def bronze_asset(table: BronzeTable) -> AssetsDefinition:
    """The asset of a bronze table."""

    @multi_asset(
        name=table.name.replace(".", "_"),
        specs=[
            table_spec(
                table.name,
                table.contract,
                deps=[f"source.{table.source}"],
                kinds={"bronze", "deltalake", "python"},
                code_version=code_version(table.schema),
                condition=gone_stale(),
            )
        ],
        check_specs=bronze_check_specs(table.name, skips_unreadable=table.skips_unreadable),
        required_resource_keys={"lake", table.resource},
        retry_policy=RETRIES,
    )
    def advance(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        reading = getattr(context.resources, table.resource).reading
        with permanent_errors_fail_at_once(), reading() as source:
            advanced = table.advance(context.resources.lake.lake, source)
        checks = bronze_check_results(advanced, skips_unreadable=table.skips_unreadable)
        yield materialization(advanced, lineage=bronze_lineage(table), checks=checks)

    return advance


def silver_asset(table: SilverTable) -> AssetsDefinition:
    """The asset of a silver table and that of its quarantine, which is skipped while unchanged."""
    refused = quarantine_name(table.name)
    kinds = {"silver", "deltalake", "spark"}

    @multi_asset(
        name=table.name.replace(".", "_"),
        specs=[
            table_spec(
                table.name,
                table.contract,
                deps=[table.reads.name],
                kinds=kinds,
                code_version=code_version(table.schema, table.query),
                # Events are drained as they come.
                condition=gone_stale()
                if isinstance(table, EventTable)
                else upstream_advanced() | gone_stale(),
            ),
            table_spec(
                refused,
                QuarantinedRow,
                deps=[table.reads.name],
                kinds=kinds,
                code_version="1",
                skippable=True,
            ),
        ],
        check_specs=check_specs(table.name, table.contract),
        required_resource_keys={"lake", "engine", "schemas"},
        retry_policy=RETRIES,
    )
    def advance(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        lake = context.resources.lake.lake
        with permanent_errors_fail_at_once():
            session, schemas = context.resources.engine.spark_session, context.resources.schemas
            advanced = table.advance(Runtime(session, lake, schemas))
        standing = table.standing(lake)
        checks = check_results(advanced, standing, table.contract)
        yield materialization(
            advanced, lineage=silver_lineage(table), checks=checks, standing=standing
        )
        if advanced.quarantined:
            version = lake.version(refused)
            yield MaterializeResult(
                asset_key=asset_key(refused),
                metadata={
                    "rows refused": advanced.quarantined,
                    "reasons": dict(advanced.reasons),
                    "version written": version,
                    "versions read": dict(advanced.versions_read),
                },
                data_version=DataVersion(str(version)),
            )

    return advance


def bronze_lineage(table: BronzeTable) -> Lineage:
    """The columns of the source that each column is."""
    return {
        column.name: [(f"source.{table.source}", column.name)]
        for column in contract_fields(table.contract)
    }


def silver_lineage(table: SilverTable) -> Lineage:
    """The columns of bronze that each column is made from."""
    return {
        column: [(table.reads.name, table.reads.column_of(field)) for field in fields]
        for column, fields in raw_fields(table.query).items()
    }


@contextmanager
def permanent_errors_fail_at_once() -> Iterator[None]:
    """What a person must mend is not retried; what may pass is."""
    try:
        with disk_trouble():
            yield
    except AquiferError as error:
        passing = isinstance(error, PassingError)
        raise Failure(description=str(error), allow_retries=passing) from error


def code_version(*parts: Any) -> str:
    """A short digest of what decides an asset's rows."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
