"""What Dagster is told of a flow: materialisations and checks of its tables, put together.

A run with more than about a thousand events is slow to look at, so that materialisations are told
of now and then, and checks when their verdict changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetKey,
    AssetMaterialization,
    MaterializeResult,
    OpExecutionContext,
)
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

from aquifer.advance import Advance
from aquifer.asset_checks import (
    BLOCKING,
    bronze_check_results,
    check_results,
    going_on,
    stream_check_results,
)
from aquifer.assets import bronze_lineage, silver_lineage
from aquifer.dbt_assets import GoldTranslator, gold_metadata
from aquifer.dbt_project import succeeded
from aquifer.flow import Flow
from aquifer.specs import materialization
from aquifer.stream_assets import stream_lineage
from aquifer.stream_table import StreamTable


class FlowReport:
    """Tells the log of a run what its flow has done since the last time.

    Args:
        streams: tables of windows and patterns that it advances.
    """

    def __init__(
        self, context: OpExecutionContext, flow: Flow, streams: Sequence[StreamTable] = ()
    ) -> None:
        self._context = context
        self._flow = flow
        self._silver = {table.name: table for table in flow.tables}
        self._bronze = {table.reads.name: table.reads for table in flow.tables}
        self._streams = {table.name: table for table in streams}
        self._translator = GoldTranslator(flow.gold, None)
        self._verdicts: dict[tuple[object, str], bool] = {}
        self._stalled: dict[str, str] = {}

    def tell(self, seconds: float) -> None:
        """Tell what was done within so many seconds."""
        advances, built = self._flow.tally.take()
        lag = self._flow.lag() if advances else {}
        for advance in advances:
            told = self._told(advance)
            rate = {"events per second": round(advance.rows_in / seconds, 1)}
            behind = {"lag": lag[advance.table]} if advance.table in lag else {}
            self._materialized(told, {**(told.metadata or {}), **rate, **behind})
            self._checked(_evaluation(check) for check in told.check_results or ())
        for event in built:
            self._tell_built(event)
        for name, why in self._flow.tally.stalled.items():
            if self._stalled.get(name) != why:
                self._context.log.error(f"{name}: {why}")
            self._checked(_evaluation(each) for each in going_on(self._streams[name], why))
        self._stalled = dict(self._flow.tally.stalled)

    def _told(self, advance: Advance) -> MaterializeResult[Any]:
        if table := self._silver.get(advance.table):
            standing = table.standing(self._flow.runtime.lake)
            checks = check_results(advance, standing, table.contract)
            lineage = silver_lineage(table)
            return materialization(advance, lineage=lineage, checks=checks, standing=standing)
        if stream := self._streams.get(advance.table):
            verdicts = stream_check_results(self._flow.runtime, stream)
            return materialization(advance, lineage=stream_lineage(stream), checks=verdicts)
        topic = self._bronze[advance.table]
        checks = bronze_check_results(advance, skips_unreadable=topic.skips_unreadable)
        return materialization(advance, lineage=bronze_lineage(topic), checks=checks)

    def _tell_built(self, event: Mapping[str, Any]) -> None:
        message = DbtCoreCliEventMessage(raw_event=dict(event), event_history_metadata={})
        gold, runtime = self._flow.gold, self._flow.runtime
        for told in message.to_default_asset_events(
            manifest=gold.project.manifest,
            dagster_dbt_translator=self._translator,
            context=self._context,
        ):
            if isinstance(told, AssetMaterialization) and succeeded(event):
                metadata = gold_metadata(gold, runtime, event)
                version = metadata["version written"].value
                self._context.log_event(
                    AssetMaterialization(
                        told.asset_key,
                        metadata={**told.metadata, **metadata},
                        tags={"dagster/data_version": str(version)},
                    )
                )
            elif isinstance(told, AssetCheckEvaluation):
                self._checked([told])

    def _materialized(self, told: MaterializeResult[Any], metadata: Mapping[str, Any]) -> None:
        version = told.data_version.value if told.data_version else ""
        tags = {"dagster/data_version": version}
        self._context.log_event(
            AssetMaterialization(told.asset_key or "", metadata=metadata, tags=tags)
        )

    def _checked(self, evaluations: Iterable[AssetCheckEvaluation]) -> None:
        for evaluation in evaluations:
            check = (evaluation.asset_key, evaluation.check_name)
            if self._verdicts.get(check) != evaluation.passed:
                self._verdicts[check] = evaluation.passed
                # It takes evaluations, too, other than its annotation says.
                self._context.log_event(evaluation)  # type: ignore[arg-type]


def _evaluation(result: AssetCheckResult) -> AssetCheckEvaluation:
    name = result.check_name or ""
    return AssetCheckEvaluation(
        asset_key=result.asset_key or AssetKey([]),
        check_name=name,
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
        blocking=name in BLOCKING,
    )
