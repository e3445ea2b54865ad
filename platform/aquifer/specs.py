"""Asset specs from contracts: what Dagster shows of a table, and the checks that it runs.

Belongs here: keys, specs, check specs and materialisation metadata that bronze, silver and gold
share. Does not: what is executed (`assets`).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetSpec,
    AutomationCondition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    TableColumnDep,
    TableColumnLineage,
)

from aquifer.advance import Advance
from aquifer.automation import freshness
from aquifer.checks import compile_checks
from aquifer.contract import Contract, column_schema, describe, keys, table_metadata

ACCOUNTED = "rows_accounted"
WITHIN_SHARE = "quarantine_share"
LARGE_BATCH = 1_000
"""Rows from which on the share of refused rows means something."""


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


def check_specs(name: str, contract: type[Contract]) -> list[AssetCheckSpec]:
    """A check for each of the contract's, and the two that guard every batch."""
    key = asset_key(name)
    return [
        *(
            AssetCheckSpec(check.name, asset=key, description=check.description)
            for check in compile_checks(contract)
        ),
        AssetCheckSpec(
            ACCOUNTED,
            asset=key,
            blocking=True,
            description="every row that came in is in the table, in the quarantine or a duplicate",
        ),
        AssetCheckSpec(
            WITHIN_SHARE,
            asset=key,
            blocking=True,
            description="no more than "
            f"{table_metadata(contract).quarantine_share:.0%} of a large batch is refused",
        ),
    ]


def check_results(advance: Advance, contract: type[Contract]) -> Iterator[AssetCheckResult]:
    """What the checks say of a batch. Refused rows leave the table clean, so they only warn."""
    key = asset_key(advance.table)
    unreadable = {
        reason.removesuffix("_unreadable"): rows
        for reason, rows in advance.reasons.items()
        if reason.endswith("_unreadable")
    }
    for check in compile_checks(contract):
        refused = advance.reasons.get(check.name, 0)
        metadata = {"rows refused": refused}
        if check.column in unreadable:
            metadata["of which unreadable"] = unreadable[check.column]
        yield AssetCheckResult(
            passed=not refused,
            asset_key=key,
            check_name=check.name,
            severity=AssetCheckSeverity.WARN,
            metadata=metadata,
        )
    yield AssetCheckResult(passed=advance.accounted, asset_key=key, check_name=ACCOUNTED)
    share = advance.quarantined / advance.rows_in if advance.rows_in else 0.0
    limit = table_metadata(contract).quarantine_share
    yield AssetCheckResult(
        passed=advance.rows_in <= LARGE_BATCH or share <= limit,
        asset_key=key,
        check_name=WITHIN_SHARE,
        metadata={"share refused": share, "limit": limit},
    )


def materialization(
    advance: Advance,
    *,
    lineage: Mapping[str, Iterable[tuple[str, str]]],
    checks: Iterable[AssetCheckResult] = (),
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
        "quality score": advance.quality,
        "version written": advance.version,
        "seconds": round(advance.seconds, 3),
        "dagster/column_lineage": column_lineage(lineage),
    }
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


def column_lineage(lineage: Mapping[str, Iterable[tuple[str, str]]]) -> TableColumnLineage:
    """Column lineage in Dagster's terms, from upstream table and column names."""
    return TableColumnLineage(
        {
            column: [TableColumnDep(asset_key(name), upstream) for name, upstream in sorted(deps)]
            for column, deps in lineage.items()
        }
    )
