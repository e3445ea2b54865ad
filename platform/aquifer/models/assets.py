"""Asset definitions of models: a challenger with its gates, the champion, and its predictions.

Belongs here: their specs and checks, and what Dagster is told. Does not: training (`training`),
promotion and scoring. What these need is loaded where they run.
"""

from collections.abc import Iterator
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    AssetSpec,
    Config,
    DataVersion,
    MaterializeResult,
    MetadataValue,
    multi_asset,
)
from pydantic import Field

from aquifer.asset_checks import contract_check_results, contract_check_specs
from aquifer.assets import code_version
from aquifer.automation import RETRIES, freshness, gone_stale, upstream_advanced
from aquifer.contract import describe, table_metadata
from aquifer.models.model import Model, predictions_of
from aquifer.models.monitoring_assets import monitoring_asset, retraining_due
from aquifer.models.telling import told
from aquifer.runtime import Runtime
from aquifer.specs import asset_key, materialization, table_spec


class TrainingConfig(Config):
    """What a training may cost."""

    tuning_seconds: float = Field(20.0, gt=0, description="What all trials may take together.")
    tuning_trials: int = Field(20, gt=0, description="How many trials there are at most.")


def model_assets(model: Model) -> list[AssetsDefinition]:
    """What a model is in the graph."""
    of_batch = [_predictions(model)] if model.batch else []
    return [_challenger(model), _champion(model), *of_batch, monitoring_asset(model)]


def _challenger(model: Model) -> AssetsDefinition:
    key = asset_key(f"models.{model.name}")

    @multi_asset(
        name=f"models_{model.name}",
        specs=[
            _spec(
                model,
                "models",
                deps=model.upstreams,
                description="The challenger: the version that was trained last, and its gates.",
                freshness_policy=freshness(model.fresh_within),
                automation_condition=retraining_due(model) | gone_stale(),
                code_version=code_version(model.code),
            )
        ],
        check_specs=[
            AssetCheckSpec(gate, asset=key, blocking=True, description=description)
            for gate, description in model.gates.items()
        ],
        required_resource_keys={"lake", "engine", "registry"},
        retry_policy=RETRIES,
    )
    def train(
        context: AssetExecutionContext, config: TrainingConfig
    ) -> Iterator[MaterializeResult[Any]]:
        with told():
            from aquifer.models.training import Budget, train

            registry = context.resources.registry
            runtime = Runtime(context.resources.engine.spark_session, context.resources.lake.lake)
            with runtime.lake.leases.hold([f"models.{model.name}"]):
                trained = train(
                    model,
                    runtime,
                    registry.registry,
                    registry.studies,
                    Budget(config.tuning_seconds, config.tuning_trials),
                    {"dagster.run_id": context.run_id, "dagster.asset": key.to_user_string()},
                )
        yield MaterializeResult(
            asset_key=key,
            metadata={
                "model version": trained.version,
                "MLflow run": registry.link(trained.experiment, trained.run),
                "champion before": trained.champion or "none",
                "versions read": MetadataValue.json(dict(trained.data.versions)),
                "examples": len(trained.data.training),
                "examples held out": len(trained.data.holdout),
                "trials": trained.choice.trials,
                "family": trained.choice.family,
                "seconds": round(trained.seconds, 3),
                **{name: MetadataValue.float(v) for name, v in trained.measured.figures.items()},
                "model card": MetadataValue.md(trained.card),
            },
            data_version=DataVersion(trained.version),
            check_results=[
                AssetCheckResult(
                    passed=gate.passed,
                    asset_key=key,
                    check_name=gate.name,
                    description=gate.reason,
                    metadata=dict(gate.values),
                )
                for gate in trained.gates
            ],
        )

    return train


def _champion(model: Model) -> AssetsDefinition:
    key = asset_key(f"champions.{model.name}")

    @multi_asset(
        name=f"champions_{model.name}",
        specs=[
            _spec(
                model,
                "champions",
                deps=[f"models.{model.name}"],
                description="The champion: the version that is scored with.",
                automation_condition=upstream_advanced(),
                code_version="1",
            )
        ],
        required_resource_keys={"registry"},
        retry_policy=RETRIES,
    )
    def promote(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        with told():
            from aquifer.models.promotion import champion_metadata, promote_challenger

            registry = context.resources.registry.registry
            promote_challenger(registry, model.name, f"Dagster run {context.run_id}")
            metadata, version = champion_metadata(registry, model.name)
        yield MaterializeResult(asset_key=key, metadata=metadata, data_version=DataVersion(version))

    return promote


def _predictions(model: Model) -> AssetsDefinition:
    name = predictions_of(model)

    @multi_asset(
        name=name.replace(".", "_"),
        specs=[
            table_spec(
                name,
                model.contract,
                deps=[f"champions.{model.name}", *(view.name for view in model.features)],
                kinds={"onnx", "deltalake", "python"},
                code_version=code_version(model.code),
                condition=upstream_advanced(daily=[view.name for view in model.features])
                | gone_stale(),
            )
        ],
        check_specs=contract_check_specs(name, model.contract),
        required_resource_keys={"lake", "engine", "registry"},
        retry_policy=RETRIES,
    )
    def score(context: AssetExecutionContext) -> Iterator[MaterializeResult[Any]]:
        lake = context.resources.lake.lake
        with told():
            from aquifer.models.batch import score

            advanced = score(model, lake, context.resources.registry.registry)
            runtime = Runtime(context.resources.engine.spark_session, lake)
            checks = contract_check_results(runtime, name, model.contract)
        yield materialization(advanced, lineage=_lineage(model), checks=checks)

    return score


def _lineage(model: Model) -> dict[str, list[tuple[str, str]]]:
    """The features that each output is made from."""
    features = [
        (view.name, name) for view, names in model.features.items() for name in names or view.entity
    ]
    entity = {c: [(view.name, c) for view in model.features] for c in model.entity}
    return {**entity, **{output: features for output in model.outputs}}


def _spec(model: Model, layer: str, *, deps: Any, description: str, **attributes: Any) -> AssetSpec:
    return AssetSpec(
        asset_key(f"{layer}.{model.name}"),
        deps=[asset_key(upstream) for upstream in deps],
        description=f"{description}\n\n{describe(model.contract)}",
        group_name=layer,
        owners=[table_metadata(model.contract).owner],
        kinds={"mlflow", "onnx"},
        **attributes,
    )
