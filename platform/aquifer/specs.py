"""Asset specs from contracts: what Dagster shows of a table and of its materialisations.

Belongs here: keys, specs and metadata that all layers share. Does not: checks
(`asset_checks`), and what is executed (`assets`).
"""

from collections.abc import Iterable, Mapping
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetKey,
    AssetSpec,
    AutomationCondition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableColumnDep,
    TableColumnLineage,
)

from aquifer.advance import Advance, Standing
from aquifer.automation import freshness
from aquifer.contract import Contract, column_schema, describe, keys, table_metadata

QUALITY_GOAL = 0.998
"""The share of a table's rows that should not be refused."""


Lineage = Mapping[str, Iterable[tuple[str, str]]]
"""For each column, the upstream tables and columns that it is made from."""


def asset_key(name: str) -> AssetKey:
    """`silver.orders` as an asset key."""
    return AssetKey(name.split("."))


def table_spec(
    name: str,
    contract: type[Contract],
    *,
    deps: Iterable[str],
    kinds: set[str],
    code_version: str,
    condition: AutomationCondition[Any] | None = None,
    skippable: bool = False,
) -> AssetSpec:
    """The spec of a table with a contract."""
    metadata = table_metadata(contract)
    return AssetSpec(
        asset_key(name),
        deps=[asset_key(upstream) for upstream in deps],
        description=describe(contract),
        group_name=name.split(".")[0],
        owners=[metadata.owner],
        kinds=kinds,
        code_version=code_version,
        # A quarantine that stays empty is as it should be, so it cannot go stale.
        freshness_policy=None if skippable else freshness(metadata.fresh_within),
        automation_condition=condition,
        skippable=skippable,
        metadata={
            "dagster/column_schema": column_schema(contract),
            "dagster/table_name": name,
            "grain": metadata.grain,
            "key": ", ".join(keys(contract)),
        },
    )


def materialization(
    advance: Advance,
    *,
    lineage: Lineage,
    checks: Iterable[AssetCheckResult] = (),
    standing: Standing | None = None,
) -> MaterializeResult[Any]:
    """The materialisation of an advance.

    Args:
        lineage: for each column, the upstream tables and columns that it is made from.
    """
    metadata: dict[str, Any] = {
        "rows in": advance.rows_in,
        "rows kept": advance.kept,
        "rows quarantined": advance.quarantined,
        "rows duplicate": advance.duplicates,
        "rows written": advance.written,
        "version written": advance.version,
        "seconds": round(advance.seconds, 3),
        "dagster/column_lineage": column_lineage(lineage),
    }
    if standing:
        metadata["rows waiting"] = standing.waiting
        metadata["quality score"] = standing.quality
        metadata["quality goal"] = QUALITY_GOAL
    if advance.watermark:
        metadata["watermark"] = MetadataValue.timestamp(advance.watermark)
        metadata["rows late"] = advance.late
    if advance.marks:
        # The hashes of contents are for the platform alone.
        read = {name: mark for name, mark in advance.marks.items() if "content:" not in name}
        metadata["read up to"] = MetadataValue.json(read)
    if advance.versions_read:
        metadata["versions read"] = MetadataValue.json(dict(advance.versions_read))
    if advance.reasons:
        metadata["reasons"] = MetadataValue.json(dict(advance.reasons))
    if advance.sample:
        metadata["sample"] = MetadataValue.md(advance.sample)
    return MaterializeResult(
        asset_key=asset_key(advance.table),
        metadata=metadata,
        data_version=DataVersion(str(advance.version)),
        check_results=list(checks),
    )


def column_lineage(lineage: Lineage) -> TableColumnLineage:
    """Column lineage in Dagster's terms, from upstream table and column names."""
    return TableColumnLineage(
        {
            column: [TableColumnDep(asset_key(name), upstream) for name, upstream in sorted(deps)]
            for column, deps in lineage.items()
        }
    )
