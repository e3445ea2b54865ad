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

from aquifer.advance import Advance, Standing
from aquifer.automation import freshness, never
from aquifer.checks import compile_checks
from aquifer.contract import Contract, column_schema, describe, keys, table_metadata

ACCOUNTED = "rows_accounted"
READABLE = "readable"
WITHIN_SHARE = "quarantine_share"
QUALITY_GOAL = 0.998
"""The share of a table's rows that should not be refused."""


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


def bronze_check_specs(name: str, *, skips_unreadable: bool) -> list[AssetCheckSpec]:
    """The checks of a bronze table, whose values are as received."""
    readable = AssetCheckSpec(
        READABLE, asset=asset_key(name), description="everything that was delivered can be read"
    )
    return [_accounted(name), *([readable] if skips_unreadable else [])]


def bronze_check_results(advance: Advance, *, skips_unreadable: bool) -> Iterator[AssetCheckResult]:
    """What the checks say of what was ingested. What cannot be read holds up nothing else."""
    key = asset_key(advance.table)
    yield AssetCheckResult(passed=advance.accounted, asset_key=key, check_name=ACCOUNTED)
    if skips_unreadable:
        yield AssetCheckResult(
            passed=not advance.unreadable,
            asset_key=key,
            check_name=READABLE,
            description="; ".join(advance.unreadable) or None,
        )


def check_specs(name: str, contract: type[Contract]) -> list[AssetCheckSpec]:
    """A check for each of a silver table's contract, and those that guard every batch."""
    key = asset_key(name)
    share = table_metadata(contract).quarantine_share
    return [
        *(
            AssetCheckSpec(check.name, asset=key, description=check.description)
            for check in compile_checks(contract)
        ),
        AssetCheckSpec(
            READABLE,
            asset=key,
            description="each value can be read, and each event says what happened and when",
            automation_condition=never(),
        ),
        _accounted(name),
        AssetCheckSpec(
            WITHIN_SHARE,
            asset=key,
            blocking=True,
            description=f"no more than {share:.0%} of the newest batch is refused, if it is large",
        ),
    ]


def check_results(advance: Advance, contract: type[Contract]) -> Iterator[AssetCheckResult]:
    """What the checks say of the table and of its newest batch, until that is mended.

    Refused rows leave the table clean, so they only warn.
    """
    key = asset_key(advance.table)
    standing = advance.standing or Standing()
    checks = [check.name for check in compile_checks(contract)]

    def refused(name: str, reasons: Iterable[str]) -> AssetCheckResult:
        waiting = sum(standing.reasons.get(reason, 0) for reason in reasons)
        return AssetCheckResult(
            passed=not waiting,
            asset_key=key,
            check_name=name,
            severity=AssetCheckSeverity.WARN,
            metadata={
                "rows refused": sum(advance.reasons.get(reason, 0) for reason in reasons),
                "rows waiting": waiting,
            },
        )

    for name in checks:
        yield refused(name, [name])
    yield refused(READABLE, sorted({*standing.reasons, *advance.reasons} - {*checks}))
    yield AssetCheckResult(
        passed=not standing.batch_lost,
        asset_key=key,
        check_name=ACCOUNTED,
        metadata={"rows lost": standing.batch_lost},
    )
    limit = table_metadata(contract).quarantine_share
    share = standing.refused_share
    yield AssetCheckResult(
        passed=not standing.exceeds(limit),
        asset_key=key,
        check_name=WITHIN_SHARE,
        description=f"{share:.1%} of the newest batch is refused; the limit is {limit:.1%}",
        metadata={"share refused": share, "limit": limit},
    )


def _accounted(name: str) -> AssetCheckSpec:
    return AssetCheckSpec(
        ACCOUNTED,
        asset=asset_key(name),
        blocking=True,
        description="every row that came in is in the table, in the quarantine or a duplicate",
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
        "version written": advance.version,
        "seconds": round(advance.seconds, 3),
        "dagster/column_lineage": column_lineage(lineage),
    }
    if advance.standing:
        metadata["rows waiting"] = advance.standing.waiting
        metadata["quality score"] = advance.standing.quality
        metadata["quality goal"] = QUALITY_GOAL
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


def column_lineage(lineage: Mapping[str, Iterable[tuple[str, str]]]) -> TableColumnLineage:
    """Column lineage in Dagster's terms, from upstream table and column names."""
    return TableColumnLineage(
        {
            column: [TableColumnDep(asset_key(name), upstream) for name, upstream in sorted(deps)]
            for column, deps in lineage.items()
        }
    )
