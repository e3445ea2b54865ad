"""Order plans: what to order under a budget, by a forecast, as they are declared.

Belongs here: what a person writes of a plan, and its asset. Does not: how it is made (`ordering`),
which takes packages that are loaded only where it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetsDefinition,
    Config,
    MaterializeResult,
    multi_asset,
)
from pydantic import Field as Setting

from aquifer.asset_checks import contract_check_results, contract_check_specs
from aquifer.assets import code_version
from aquifer.automation import RETRIES, gone_stale, upstream_advanced
from aquifer.contract import Contract, Field, Record, Timestamp
from aquifer.models.forecaster import Forecaster
from aquifer.models.model import predictions_of
from aquifer.models.telling import told
from aquifer.runtime import Runtime
from aquifer.specs import asset_key, materialization, table_spec
from aquifer.stream_table import LIVE

BUDGET_KEPT, GAINS = "budget_kept", "gains"

OFFER = ("on_hand", "cost", "price", "sold")


class PlannedOrder(Record):
    """What every order plan has beside the products."""

    event_time: Timestamp = Field(description="instant from which demand is forecast, UTC")
    on_hand: int = Field(ge=0, description="pieces there are")
    unit_cost: float = Field(gt=0, description="cost of a piece, GBP")
    list_price: float = Field(ge=0, description="price of a piece, GBP")
    expected_demand: float = Field(ge=0, description="mean demand in the weeks that are forecast")
    quantity: int = Field(ge=0, description="pieces to order")
    cost: float = Field(ge=0, description="cost of the order, GBP")
    naive_quantity: int = Field(ge=0, description="pieces that the naive rule would order")
    expected_gain: float = Field(description="mean gain on the naive rule over scenarios, GBP")
    model_version: str = Field(description="version of the forecast, as in the registry")


class OrderConfig(Config):
    """What an order may cost, and what a piece loses that is left over."""

    budget: float | None = Setting(
        None, ge=0, description="GBP; none: a share of what was sold lately, at cost."
    )
    budget_share: float = Setting(
        0.5, ge=0, description="The share of the cost of the last four weeks' sales."
    )
    loss: float = Setting(
        0.25, ge=0, description="The share of its cost that a piece loses which is left over."
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class OrderPlan:
    """A plan of orders.

    Args:
        name: of the table, `predictions.<plan>`.
        contract: a `PlannedOrder` with the columns of the forecaster's entity as its key.
        forecaster: whose predictions are planned by.
        tables: what offers are made from, beside the features.
        offers: SQL over `tables`, named without their layer; rows with the entity, `on_hand`,
            `cost` above zero, `price`, and `sold`, the pieces sold in the last four weeks. Products
            without one are left out.
    """

    name: str
    contract: type[Contract]
    forecaster: Forecaster
    tables: Sequence[str]
    offers: str

    @property
    def upstreams(self) -> list[str]:
        """The tables that it is made from."""
        forecast = predictions_of(self.forecaster)
        return [*dict.fromkeys([forecast, *self.tables, *self.forecaster.upstreams])]


def plan_asset(plan: OrderPlan) -> AssetsDefinition:
    """The asset of a plan."""
    key = asset_key(plan.name)

    @multi_asset(
        name=plan.name.replace(".", "_"),
        specs=[
            table_spec(
                plan.name,
                plan.contract,
                deps=[*plan.upstreams, f"champions.{plan.forecaster.name}"],
                kinds={"scipy", "deltalake", "python"},
                code_version=code_version(plan.offers),
                condition=upstream_advanced() | gone_stale(),
            )
        ],
        check_specs=[
            *contract_check_specs(plan.name, plan.contract),
            AssetCheckSpec(
                BUDGET_KEPT,
                asset=key,
                blocking=True,
                description="the orders together cost no more than the budget",
            ),
            AssetCheckSpec(
                GAINS,
                asset=key,
                description="the orders are expected to gain on the naive rule",
            ),
        ],
        required_resource_keys={"lake", "engine", "registry"},
        retry_policy=RETRIES,
    )
    def propose(
        context: AssetExecutionContext, config: OrderConfig
    ) -> Iterator[MaterializeResult[Any]]:
        runtime = Runtime(context.resources.engine.spark_session, context.resources.lake.lake)
        with told():
            from aquifer.models.ordering import propose

            made = propose(plan, runtime, context.resources.registry.registry, config)
            checks = contract_check_results(runtime, plan.name, plan.contract, LIVE)
        summary = made.summary
        result = materialization(
            made.advance,
            lineage=_lineage(plan),
            checks=[
                *checks,
                AssetCheckResult(
                    passed=made.keeps_budget,
                    asset_key=key,
                    check_name=BUDGET_KEPT,
                    metadata={"spent": made.spent, "budget": made.budget},
                ),
                AssetCheckResult(
                    # For nothing, nothing can be gained.
                    passed=made.gain.mean > 0 or not made.spent,
                    asset_key=key,
                    check_name=GAINS,
                    severity=AssetCheckSeverity.WARN,
                    metadata={"gain": made.gain.mean},
                ),
            ],
        )
        yield result._replace(metadata={**(result.metadata or {}), **summary})

    return propose


def _lineage(plan: OrderPlan) -> dict[str, list[tuple[str, str]]]:
    forecast = predictions_of(plan.forecaster)
    entity = {column: [(forecast, column)] for column in plan.forecaster.entity}
    demand = [(forecast, output) for output in plan.forecaster.outputs]
    return {
        **entity,
        **{name: [(forecast, name)] for name in ("event_time", "model_version")},
        **{name: demand for name in ("expected_demand", "quantity", "naive_quantity", "cost")},
        "expected_gain": demand,
    }
