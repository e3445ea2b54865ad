"""What the platform consists of: every table, what runs it and when, and where the world is."""

from dagster import DailyPartitionsDefinition, Definitions, in_process_executor

from aquifer.assets import bronze_asset, silver_asset
from aquifer.dbt_assets import gold_assets
from aquifer.features.assets import feature_asset
from aquifer.models.assets import model_assets
from aquifer.models.order_plan import plan_asset
from aquifer.serving_assets import serving_spec
from aquifer.stream_assets import stream_asset
from assets import jobs, snapshots, sources, tables
from resources.environment import resources

defs = Definitions(
    assets=[
        *sources.assets,
        *(bronze_asset(table) for table in tables.bronze),
        *(silver_asset(table) for table in tables.silver),
        *(stream_asset(table) for table in tables.stream),
        gold_assets(
            tables.gold,
            name="gold",
            exclude="fct_inventory",
            streams=[table.name for table in tables.events],
        ),
        gold_assets(
            tables.gold,
            name="gold_snapshots",
            select="fct_inventory",
            partitions=DailyPartitionsDefinition(snapshots.FIRST_DAY.isoformat(), timezone="UTC"),
            automated=False,
        ),
        *(feature_asset(view, snapshots.FIRST_DAY) for view in tables.features),
        *(asset for model in tables.models for asset in model_assets(model)),
        *(plan_asset(plan) for plan in tables.plans),
        *(serving_spec(view) for view in tables.serving),
    ],
    jobs=jobs.jobs,
    schedules=jobs.schedules,
    sensors=jobs.sensors,
    # The engine is what runs in parallel; a process a step would cost seconds each.
    executor=in_process_executor,
    resources=resources(),
)
