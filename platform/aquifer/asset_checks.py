"""Dagster's checks of tables: one for each of a contract, and those of a batch.

Belongs here: their specs, and what they say of an advance or of the rows that stand. Does not: how
a row is checked (`checks`, `conform`), and the checks of gold, which are dbt's tests.
"""

from collections.abc import Iterable, Iterator

from dagster import AssetCheckResult, AssetCheckSeverity, AssetCheckSpec

from aquifer.advance import Advance, Standing
from aquifer.automation import never
from aquifer.checks import compile_checks
from aquifer.contract import Contract, table_metadata
from aquifer.engine import register
from aquifer.runtime import Runtime
from aquifer.specs import asset_key
from aquifer.stream_table import StreamTable

ACCOUNTED = "rows_accounted"
READABLE = "readable"
WITHIN_SHARE = "quarantine_share"
BLOCKING = {ACCOUNTED, WITHIN_SHARE}


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


def check_results(
    advance: Advance, standing: Standing, contract: type[Contract]
) -> Iterator[AssetCheckResult]:
    """What the checks say of the table and of its newest batch, until that is mended.

    Refused rows leave the table clean, so they only warn.
    """
    key = asset_key(advance.table)
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
        passed=not standing.lost,
        asset_key=key,
        check_name=ACCOUNTED,
        metadata={"rows lost": standing.lost},
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


def contract_check_specs(
    name: str, contract: type[Contract], *, blocking: bool = False
) -> list[AssetCheckSpec]:
    """A check for each of the contract of a table without a quarantine."""
    return [
        AssetCheckSpec(
            check.name, asset=asset_key(name), description=check.description, blocking=blocking
        )
        for check in compile_checks(contract)
    ]


def contract_check_results(
    runtime: Runtime, name: str, contract: type[Contract], where: str = "true"
) -> list[AssetCheckResult]:
    """What the contract's checks say of the rows that stand.

    Args:
        where: SQL of the rows that count.
    """
    checks = compile_checks(contract)
    register(runtime.session, runtime.lake, [name])
    counts = ", ".join(f"count_if({check.failure}) as `{check.name}`" for check in checks)
    counted = runtime.session.sql(f"select {counts} from {name} where {where}")
    (failed,) = counted.toArrow().to_pylist()
    return [
        AssetCheckResult(
            passed=not failed[check.name],
            asset_key=asset_key(name),
            check_name=check.name,
            metadata={"rows failed": failed[check.name]},
        )
        for check in checks
    ]


def stream_check_specs(table: StreamTable) -> list[AssetCheckSpec]:
    """The checks of a stream table: those of its contract, and whether it goes on."""
    key = asset_key(table.name)
    return [
        *contract_check_specs(table.name, table.contract),
        *(AssetCheckSpec(n, asset=key, description=asked) for n, asked in table.checks.items()),
    ]


def stream_check_results(runtime: Runtime, table: StreamTable) -> list[AssetCheckResult]:
    """What the checks say of a stream table that was advanced."""
    where = table.checked(runtime.lake)
    return [
        *contract_check_results(runtime, table.name, table.contract, where),
        *going_on(table, None),
    ]


def going_on(table: StreamTable, why_not: str | None) -> Iterator[AssetCheckResult]:
    """What is said of a stream table that goes on, or why it does not."""
    for name in table.checks:
        yield AssetCheckResult(
            passed=why_not is None,
            asset_key=asset_key(table.name),
            check_name=name,
            description=why_not,
        )


def _accounted(name: str) -> AssetCheckSpec:
    return AssetCheckSpec(
        ACCOUNTED,
        asset=asset_key(name),
        blocking=True,
        description="every row that came in is in the table, in the quarantine or a duplicate",
    )
