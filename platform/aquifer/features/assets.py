"""Asset definitions of feature views, and the sensor that asks for the days out of date.

Belongs here: their specs and checks, and when they run. Does not: how a view is computed (`view`).
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    BackfillPolicy,
    DailyPartitionsDefinition,
    DefaultSensorStatus,
    MaterializeResult,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    multi_asset,
    sensor,
)
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from aquifer.asset_checks import contract_check_results, contract_check_specs
from aquifer.assets import code_version, permanent_errors_fail_at_once
from aquifer.automation import RETRIES
from aquifer.daily import days_of, why_not_now
from aquifer.features.view import FeatureView, out_of_date
from aquifer.runtime import Runtime
from aquifer.specs import asset_key, materialization, table_spec


def feature_asset(view: FeatureView, first: date) -> AssetsDefinition:
    """The asset of a feature view, partitioned by day.

    Args:
        first: the first day that is kept.
    """

    @multi_asset(
        name=view.name.replace(".", "_"),
        specs=[
            table_spec(
                view.name,
                view.contract,
                deps=[upstream.name for upstream in view.reads],
                kinds={"featurestore", "deltalake", "spark"},
                code_version=code_version(view.schema, view.code),
            )
        ],
        check_specs=contract_check_specs(view.name, view.contract, blocking=True),
        partitions_def=DailyPartitionsDefinition(first.isoformat(), timezone="UTC"),
        backfill_policy=BackfillPolicy.single_run(),
        required_resource_keys={"lake", "engine", "online"},
        retry_policy=RETRIES,
    )
    def compute(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        runtime = Runtime(context.resources.engine.spark_session, context.resources.lake.lake)
        days = days_of(context)
        assert days is not None
        with permanent_errors_fail_at_once():
            advanced = view.advance(runtime, context.resources.online.store, days, first)
            checks = contract_check_results(runtime, view.name, view.contract)
        yield materialization(advanced, lineage=view.lineage(), checks=checks)

    return compute


def features_sensor(
    job: UnresolvedAssetJobDefinition, views: Sequence[FeatureView], first: date
) -> SensorDefinition:
    """A sensor that starts a run for the days of each view that are out of date."""

    @sensor(
        name="changed_history",
        job=job,
        default_status=DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        required_resource_keys={"lake"},
        description="Computes the features of the days that are out of date.",
    )
    def start(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        """What is out of date is decided by the tables; a request that was lost is made again."""
        if reason := why_not_now(context.instance, job.name):
            yield SkipReason(reason)
            return
        days = out_of_date(context.resources.lake.lake, views, first)
        if not days:
            yield SkipReason("no feature is out of date")
        for view, touched in days.items():
            yield touched.request([asset_key(view)])

    return start
