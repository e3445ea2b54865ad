"""Asset definitions of monitoring, and the condition that turns it into a retraining.

Belongs here: their specs and checks, and what Dagster is told. Does not: what is measured
(`monitoring`).
"""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetsDefinition,
    AssetSpec,
    AutomationCondition,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    multi_asset,
)

from aquifer.assets import code_version
from aquifer.automation import RETRIES, gone_stale, upstream_advanced
from aquifer.contract import table_metadata
from aquifer.models.model import Measurement, Model, measurements_of, predictions_of
from aquifer.models.telling import told
from aquifer.runtime import Runtime
from aquifer.specs import asset_key, table_spec

INPUTS, OUTPUTS, LIVE = "no_data_drift", "no_prediction_drift", "live_performance"

CHECKS = {
    INPUTS: "what it sees is like what it was measured on",
    OUTPUTS: "what it says is like what it said then",
    LIVE: "it is still better than the baseline where labels are known",
}


def monitoring_asset(model: Model) -> AssetsDefinition:
    """The asset of a model's measurements."""
    name = measurements_of(model)
    key, request = asset_key(name), _request(model)

    @multi_asset(
        name=name.replace(".", "_"),
        specs=[
            table_spec(
                name,
                Measurement,
                deps=[predictions_of(model), f"champions.{model.name}", *model.upstreams],
                kinds={"evidently", "deltalake", "python"},
                code_version=code_version(model.code),
                condition=upstream_advanced(
                    model.streams, daily=[view.name for view in model.features]
                )
                | gone_stale(),
            ),
            AssetSpec(
                request,
                description="A request for a retraining, with its reason; made where one is due.",
                group_name="monitoring",
                owners=[table_metadata(model.contract).owner],
                kinds={"python"},
                code_version="1",
                skippable=True,
            ),
        ],
        check_specs=[
            AssetCheckSpec(check, asset=key, description=description)
            for check, description in CHECKS.items()
        ],
        required_resource_keys={"lake", "engine", "registry"},
        retry_policy=RETRIES,
    )
    def measure(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        lake = context.resources.lake.lake
        with told():
            from aquifer.models.monitoring import NOTHING, RETRAIN, monitor

            runtime = Runtime(context.resources.engine.spark_session, lake)
            registry = context.resources.registry
            found = monitor(model, runtime, registry.registry, registry.reports)
        live = found.live
        verdicts = {
            INPUTS: found.inputs.share < model.retraining.drift_share,
            OUTPUTS: not found.outputs.drifted,
            LIVE: live is None or live.gain.mean > 0,
        }
        figures = {**found.inputs.indices, **found.outputs.indices}
        yield MaterializeResult(
            asset_key=key,
            metadata={
                "model version": found.version,
                "action": found.action,
                "reason": found.reason,
                "report": MetadataValue.path(found.report),
                "share of inputs drifted": found.inputs.share,
                **({"loss": live.loss, "gain on the baseline": str(live.gain)} if live else {}),
                "PSI": MetadataValue.json({n: round(v, 4) for n, v in figures.items()}),
            },
            data_version=DataVersion(str(lake.version(name))),
            check_results=[
                AssetCheckResult(
                    passed=passed,
                    asset_key=key,
                    check_name=check,
                    severity=AssetCheckSeverity.WARN,
                    description=found.reason if found.action != NOTHING else None,
                )
                for check, passed in verdicts.items()
            ],
        )
        if found.action == RETRAIN:
            yield MaterializeResult(asset_key=request, metadata={"reason": found.reason})

    return measure


def retraining_due(model: Model) -> AutomationCondition:  # type: ignore[type-arg]
    """Monitoring has just asked for a retraining of the model."""
    # No dependency, which would be a circle: what is asked for comes to be measured again.
    asked = AutomationCondition.asset_matches(_request(model), AutomationCondition.newly_updated())
    return (asked & ~AutomationCondition.in_progress()).with_label("drift asks for it")


def _request(model: Model) -> AssetKey:
    return asset_key(f"{measurements_of(model)}_retraining")
