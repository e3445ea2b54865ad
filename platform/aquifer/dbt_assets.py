"""Asset definitions of gold: dbt's models and tests as Dagster's assets and checks."""

import warnings
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetObservation,
    AssetsDefinition,
    AssetSpec,
    AutomationCondition,
    BackfillPolicy,
    BetaWarning,
    Config,
    DataVersion,
    Failure,
    MetadataValue,
    Output,
    PartitionsDefinition,
)
from dagster_dbt import DagsterDbtTranslator, DbtProject, dbt_assets
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage
from pydantic import Field

from aquifer.assets import permanent_errors_fail_at_once
from aquifer.automation import RETRIES, gone_stale, upstream_advanced
from aquifer.contract import contract_fields
from aquifer.daily import days_of
from aquifer.dbt_project import failure, is_test
from aquifer.gold import Gold
from aquifer.gold_lineage import query_lineage
from aquifer.lake import SEQUENCE
from aquifer.masking import sample_markdown
from aquifer.missing_files import missing_file
from aquifer.runtime import Runtime
from aquifer.specs import column_lineage, table_spec

# The data version of an output is in beta; without it no number could be traced to its version.
warnings.filterwarnings("ignore", message=".*data_version.*", category=BetaWarning)

Events = Iterator[Output[Any] | AssetCheckResult | AssetObservation]


class GoldConfig(Config):
    """How gold is built."""

    full_refresh: bool = Field(
        default=False, description="Look at all of silver anew, and delete what it does not yield."
    )


class GoldTranslator(DagsterDbtTranslator):
    """What Dagster shows of a gold table is what its contract says."""

    def __init__(self, gold: Gold, condition: AutomationCondition[Any] | None) -> None:
        super().__init__()
        self._gold = gold
        self._condition = condition

    def get_asset_spec(
        self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None
    ) -> AssetSpec:
        """The contract's spec, with dbt's dependencies and metadata."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        name = ".".join(spec.key.path)
        if name not in self._gold.contracts:
            return spec
        contracted = table_spec(
            name,
            self._gold.contracts[name],
            deps=[],
            kinds={"gold", "dbt", "deltalake", "spark"},
            code_version=self._gold.model(name)["checksum"]["checksum"][:12],
            condition=self._condition,
        )
        return contracted.replace_attributes(
            deps=spec.deps, metadata={**spec.metadata, **contracted.metadata}
        )


def gold_assets(
    gold: Gold,
    *,
    name: str,
    select: str = "fqn:*",
    exclude: str = "",
    partitions: PartitionsDefinition[str] | None = None,
    automated: bool = True,
    streams: Collection[str] = (),
) -> AssetsDefinition:
    """The assets of the models that `select` names; partitioned ones are built in a single run.

    Args:
        streams: silver tables that a drain takes to gold.
    """
    drained = {*streams, *gold.appended(streams)}
    condition = upstream_advanced(sorted(drained)) | gone_stale() if automated else None
    translator = GoldTranslator(gold, condition)

    @dbt_assets(
        manifest=gold.project.manifest,
        name=name,
        select=select,
        exclude=exclude,
        dagster_dbt_translator=translator,
        partitions_def=partitions,
        backfill_policy=BackfillPolicy.single_run() if partitions else None,
        required_resource_keys={"lake", "engine"},
        retry_policy=RETRIES,
    )
    def build(context: AssetExecutionContext, config: GoldConfig) -> Events:
        engine = context.resources.engine
        runtime = Runtime(engine.spark_session, context.resources.lake.lake)
        tables = sorted(".".join(key.path) for key in context.selected_asset_keys)
        failed: list[str] = []
        only_tests = True
        with permanent_errors_fail_at_once():
            for raw in gold.build(
                runtime,
                engine.remote,
                tables,
                variables=_days(context),
                full_refresh=config.full_refresh,
            ):
                message = DbtCoreCliEventMessage(raw_event=raw, event_history_metadata={})
                if reason := failure(raw):
                    failed.append(reason)
                    only_tests &= is_test(raw)
                for event in message.to_default_asset_events(
                    manifest=gold.project.manifest,
                    dagster_dbt_translator=translator,
                    context=context,
                ):
                    if isinstance(event, Output):
                        metadata = gold_metadata(gold, runtime, raw)
                        yield Output(
                            event.value,
                            event.output_name,
                            metadata={**event.metadata, **metadata},
                            data_version=DataVersion(str(metadata["version written"].value)),
                        )
                    elif isinstance(event, AssetCheckResult | AssetObservation):
                        yield event
        if failed:
            said = "; ".join(failed)
            gone = missing_file(said)
            # Rows that fail a test fail it again; a model may have met a passing fault.
            passing = not only_tests and gone is None
            raise Failure(description=str(gone or said), allow_retries=passing)

    return build


def gold_metadata(gold: Gold, runtime: Runtime, built: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be told of a gold table, beside what dbt has to say.

    Args:
        built: the event of `Gold.build` that tells that it is built, with `since`, if several
            builds are told of together: the first.
    """
    name = f"gold.{built['data']['node_info']['node_name']}"
    since = built.get("since", built["build"])
    upstreams = {upstream: _columns(runtime, upstream) for upstream in gold.upstreams[name]}
    columns = [field.name for field in contract_fields(gold.contracts[name])]
    derived = query_lineage(built["compiled"], columns, upstreams)
    counted = runtime.session.sql(
        f"select count(*) as held, count_if({SEQUENCE} >= {since}) as written from {name}"
    )
    (rows,) = counted.toArrow().to_pylist()
    sample = runtime.session.sql(f"select * from {name} limit 5").toArrow()
    return {
        "rows": MetadataValue.int(rows["held"]),
        "rows written": MetadataValue.int(rows["written"]),
        "seconds": MetadataValue.float(round(built["data"]["execution_time"], 3)),
        "version written": MetadataValue.int(runtime.lake.version(name)),
        "versions read": MetadataValue.json(built["versions_read"]),
        "sample": MetadataValue.md(sample_markdown(sample, gold.contracts[name])),
        "dagster/column_lineage": MetadataValue.column_lineage(column_lineage(derived)),
    }


def _columns(runtime: Runtime, name: str) -> dict[str, str]:
    return {field.name: str(field.type) for field in runtime.lake.table(name).schema().fields}


def _days(context: AssetExecutionContext) -> dict[str, str]:
    days = days_of(context)
    return {"first_day": str(days.first), "last_day": str(days.last)} if days else {}
