"""What runs, and when: jobs, their schedules, and the sensors that start runs by themselves."""

import json
from collections.abc import Iterator

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
    schedule,
    sensor,
)

from aquifer.daily import Days, why_not_now
from aquifer.features.assets import features_sensor
from aquifer.flow_jobs import downstream_job, downstream_sensor, drain_job, drain_sensor
from aquifer.maintenance import compaction_job, crowded_tables, maintenance_job
from aquifer.models.champion_sensor import champions_sensor
from aquifer.replay import replay_job
from assets import snapshots, tables
from resources.lake import LakeResource
from resources.sources import LandingResource

RUNNING = DefaultSensorStatus.RUNNING

STOCK_SNAPSHOTS = AssetSelection.assets(["gold", "fct_inventory"])
FEATURES = AssetSelection.groups("features")
MODELS = AssetSelection.groups("models", "champions", "predictions", "monitoring")
INGESTED = AssetSelection.groups("bronze") | AssetSelection.groups("source").materializable()

main = define_asset_job(
    "main",
    AssetSelection.all() - STOCK_SNAPSHOTS - FEATURES - MODELS,
    description="Everything but what is made day by day: sources, bronze, silver and gold.",
)
take_snapshots = define_asset_job(
    "snapshots", STOCK_SNAPSHOTS, description="The daily stock snapshots of a range of days."
)
compute_features = define_asset_job(
    "features", FEATURES, description="The features of a range of days."
)
train = define_asset_job(
    "models", MODELS, description="Every model: trained, promoted if it passes, and scored."
)
ingest = define_asset_job(
    "ingest", INGESTED, description="What the sources have that bronze has not."
)

compact = compaction_job()
maintain = maintenance_job(tables.clustering(), tables.readers())

drain = drain_job(tables.events, tables.silver, tables.gold)
downstream = downstream_job(tables.events, tables.stream, tables.gold)

jobs = [
    main,
    take_snapshots,
    compute_features,
    train,
    ingest,
    compact,
    maintain,
    drain,
    downstream,
    replay_job(tables.silver),
]

job_schedules = [
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


@schedule(
    job=take_snapshots,
    cron_schedule="30 2 * * *",
    execution_timezone="UTC",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Takes the last day's stock snapshot: where nothing has moved, nothing else does.",
)
def daily_snapshot(lake: LakeResource) -> Iterator[RunRequest | SkipReason]:
    """The days that are out of date, or the last one again."""
    days = snapshots.all_days(lake.lake)
    if days is None:
        yield SkipReason("no stock has moved yet")
        return
    yield (snapshots.touched_days(lake.lake) or Days(days.last, days.last)).request()


schedules = [*job_schedules, daily_snapshot]


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
    # Without a run key: a file that comes back as it once was has landed all the same.
    yield RunRequest()


@sensor(
    job=take_snapshots,
    default_status=RUNNING,
    minimum_interval_seconds=30,
    description="Builds the stock snapshots of the days that are out of date.",
)
def moved_stock(
    context: SensorEvaluationContext, lake: LakeResource
) -> Iterator[RunRequest | SkipReason]:
    """What is out of date is decided by the tables, so a request that was lost is made again."""
    if reason := why_not_now(context.instance, take_snapshots.name):
        yield SkipReason(reason)
        return
    days = snapshots.touched_days(lake.lake)
    yield days.request() if days else SkipReason("the snapshots have taken in every movement")


@sensor(
    job=compact,
    default_status=RUNNING,
    minimum_interval_seconds=600,
    description="Starts a compaction when a partition has many small files.",
)
def small_files(
    context: SensorEvaluationContext, lake: LakeResource
) -> Iterator[RunRequest | SkipReason]:
    """By the cursor, a table is asked for again only when something was committed to it."""
    crowded = json.dumps(crowded_tables(lake.lake))
    if crowded in ("{}", context.cursor):
        yield SkipReason("no partition has many small files that compaction has not seen")
        return
    context.update_cursor(crowded)
    yield RunRequest()


sensors = [
    drain_sensor(drain, tables.events),
    downstream_sensor(downstream, tables.events, tables.stream, tables.gold),
    landed_files,
    moved_stock,
    features_sensor(compute_features, tables.features, snapshots.FIRST_DAY),
    champions_sensor(tables.models),
    small_files,
    AutomationConditionSensorDefinition(
        "automation",
        target=AssetSelection.all(),
        default_status=RUNNING,
        minimum_interval_seconds=10,
        description="Materialises what its automation condition asks for.",
    ),
]
