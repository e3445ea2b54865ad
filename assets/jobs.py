"""What runs, and when: jobs, their schedules, and the sensors that start runs by themselves."""

from collections.abc import Iterator
from datetime import date

from dagster import (
    AssetSelection,
    AutomationConditionSensorDefinition,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    RunRequest,
    ScheduleDefinition,
    SensorEvaluationContext,
    SkipReason,
    define_asset_job,
    sensor,
)

from aquifer.lake import NOTHING, SEQUENCE
from aquifer.maintenance import maintenance_job
from aquifer.replay import replay_job
from assets import tables
from resources.lake import LakeResource
from resources.sources import LandingResource

FIRST_DAY = date(2010, 12, 1)
"""The first day of which a stock snapshot is kept."""

MOVEMENTS, SNAPSHOT = "silver.stock_movements", "gold.fct_inventory"
RUNNING = DefaultSensorStatus.RUNNING

SNAPSHOTS = AssetSelection.assets(["gold", "fct_inventory"])
INGESTED = AssetSelection.groups("bronze") | AssetSelection.groups("source").materializable()

main = define_asset_job(
    "main",
    AssetSelection.all() - SNAPSHOTS,
    description="Everything but the daily snapshots: sources, bronze, silver and gold.",
)
snapshots = define_asset_job(
    "snapshots", SNAPSHOTS, description="The daily stock snapshots of a range of days."
)
ingest = define_asset_job(
    "ingest", INGESTED, description="What the sources have that bronze has not."
)

maintain = maintenance_job(tables.clustering())

jobs = [main, snapshots, ingest, maintain, replay_job(tables.silver)]

schedules = [
    ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=DefaultScheduleStatus.RUNNING,
        description=description,
        run_config=config,
    )
    for name, job, cron, description, config in (
        ("hourly_ingestion", ingest, "5 * * * *", "Poll every source.", {}),
        ("daily_main", main, "0 2 * * *", "Bring every table up to date.", {}),
        (
            "daily_maintenance",
            maintain,
            "30 3 * * *",
            "Compact small files, apply retention.",
            {"ops": {"maintain_tables": {"config": {"cluster": False}}}},
        ),
        (
            "weekly_maintenance",
            maintain,
            "30 4 * * 0",
            "Also sort the files by the columns that queries filter on.",
            {"ops": {"maintain_tables": {"config": {"cluster": True}}}},
        ),
    )
]


@sensor(
    job=ingest,
    default_status=RUNNING,
    minimum_interval_seconds=5,
    description="Starts an ingestion when files have landed, changed or been replaced.",
)
def landed_files(
    context: SensorEvaluationContext, landing: LandingResource
) -> Iterator[RunRequest | SkipReason]:
    """The cursor only spares work: what is new is decided by the log of the table."""
    signature = landing.landing.signature()
    if signature == context.cursor:
        yield SkipReason("no file has landed or changed")
        return
    context.update_cursor(signature)
    yield RunRequest(run_key=signature)


@sensor(
    job=snapshots,
    default_status=RUNNING,
    minimum_interval_seconds=30,
    description="Builds the stock snapshots of the days that new movements touch.",
)
def moved_stock(
    context: SensorEvaluationContext, lake: LakeResource
) -> Iterator[RunRequest | SkipReason]:
    """A movement changes its day and all days after."""
    days = touched_days(lake)
    if days is None:
        yield SkipReason("the snapshots have taken in every movement")
        return
    yield snapshot_request(*days)


def touched_days(lake: LakeResource) -> tuple[date, date] | None:
    """The first and last day whose snapshot is out of date, or None."""
    return _days(lake, since=lake.lake.progress(SNAPSHOT, MOVEMENTS))


def all_days(lake: LakeResource) -> tuple[date, date] | None:
    """The first and last day that there is a snapshot of, or None."""
    return _days(lake, since=NOTHING)


def _days(lake: LakeResource, since: int) -> tuple[date, date] | None:
    if not lake.lake.exists(MOVEMENTS):
        return None
    rows = lake.lake.table(MOVEMENTS).to_pyarrow_table(
        columns=["moved_at"], filters=[(SEQUENCE, ">", since)]
    )
    if not len(rows):
        return None
    last = max(lake.lake.read(MOVEMENTS, ["moved_at"])["moved_at"].to_pylist()).date()
    first = max(min(rows["moved_at"].to_pylist()).date(), FIRST_DAY)
    return first, max(last, first)


def snapshot_request(first: date, last: date) -> RunRequest:
    """One run for all days from the first to the last."""
    return RunRequest(
        run_key=None,
        tags={
            "dagster/asset_partition_range_start": first.isoformat(),
            "dagster/asset_partition_range_end": last.isoformat(),
        },
    )


sensors = [
    landed_files,
    moved_stock,
    AutomationConditionSensorDefinition(
        "automation",
        target=AssetSelection.all(),
        default_status=RUNNING,
        minimum_interval_seconds=10,
        description="Materialises what its automation condition asks for.",
    ),
]
