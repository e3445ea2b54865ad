"""Ordering: the best order under a budget, by a forecast, and what it is expected to gain.

Belongs here: the order of the steps, and the commit. Does not: scenarios (`scenarios`) and what is
best in them (`newsvendor`).

The orders are made for some scenarios, and judged by fresh ones.
"""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aquifer.advance import Advance
from aquifer.contract import arrow_schema
from aquifer.lake import DELETED
from aquifer.masking import sample_markdown
from aquifer.models.errors import PlanError
from aquifer.models.evaluation import SEED, Floats
from aquifer.models.forecaster import QUANTILES
from aquifer.models.forecasting import Forecasting
from aquifer.models.model import predictions_of
from aquifer.models.newsvendor import (
    Expected,
    Goods,
    best_order,
    expected_gain,
    order_up_to,
)
from aquifer.models.order_plan import OFFER, OrderConfig, OrderPlan
from aquifer.models.registry import Registry
from aquifer.models.scenarios import Dependence, dependence, totals
from aquifer.models.training_set import Pinned
from aquifer.runtime import Runtime

PLANNED, FRESH = 400, 1000
"""Scenarios that orders are made for, and those that they are judged by."""


@dataclass(frozen=True)
class Proposal:
    """Orders, and what they are expected to gain.

    Attributes:
        goods: what can be ordered.
        order, naive: pieces by product, of the plan and of the naive rule.
        left_out: how many products have a forecast and no offer.
    """

    goods: Goods
    order: Floats
    naive: Floats
    gain: Expected
    budget: float
    joined: Dependence
    left_out: int
    advance: Advance

    @cached_property
    def spent(self) -> float:
        """What the orders cost together."""
        return float(self.order @ self.goods.cost)

    @property
    def keeps_budget(self) -> bool:
        """Whether the orders cost no more than the budget, to the penny."""
        return self.spent < self.budget + 0.005

    @property
    def summary(self) -> dict[str, Any]:
        """What Dagster is told beside the advance."""
        return {
            "budget": self.budget,
            "spent": self.spent,
            "spent by the naive rule": float(self.naive @ self.goods.cost),
            "products ordered": int((self.order > 0).sum()),
            "products left out": self.left_out,
            "expected gain": self.gain.mean,
            "expected gain, 5 % of scenarios below": self.gain.low,
            "expected gain, 5 % of scenarios above": self.gain.high,
            "scenarios": FRESH,
            "variance shared by all products": self.joined.shared,
            "variance of a product's own": self.joined.own,
        }


def propose(plan: OrderPlan, runtime: Runtime, registry: Registry, config: OrderConfig) -> Proposal:
    """Plan orders by the forecast as it is now, and replace the plan.

    Raises:
        PlanError: nothing that is forecast can be ordered.
        TrainingError: a table does not exist.
    """
    started = time.monotonic()
    pinned = Pinned.now(runtime.lake, plan.upstreams)
    rows, left_out = _offered(plan, runtime, pinned)
    version = str(rows["model_version"][0])
    on_hand, cost, price, sold = (_numbers(rows, name) for name in OFFER)
    goods = Goods(on_hand, cost, price, config.loss)
    quantiles = np.column_stack([_numbers(rows, name) for name in plan.forecaster.outputs])
    quantiles = quantiles.reshape(len(rows), plan.forecaster.weeks, len(QUANTILES))
    joined = _dependence(plan, runtime, pinned, registry, version)
    share = config.budget_share * float(sold @ cost)
    budget = share if config.budget is None else config.budget
    demand = np.concatenate([*totals(quantiles, joined, PLANNED, SEED)], axis=1)
    order = best_order(goods, demand, budget)
    naive = order_up_to(goods, quantiles[:, :, QUANTILES.index(0.5)].sum(axis=1), budget)
    gain = expected_gain(goods, order, naive, totals(quantiles, joined, FRESH, SEED + 1))
    columns = {
        **{name: rows[name] for name in [*plan.forecaster.entity, "event_time", "model_version"]},
        "on_hand": on_hand.astype(np.int64),
        "unit_cost": cost,
        "list_price": price,
        "expected_demand": gain.demand,
        "quantity": order.astype(np.int64),
        "cost": order * cost,
        "naive_quantity": naive.astype(np.int64),
        "expected_gain": gain.by_product,
    }
    advance = _replaced(plan, runtime, pa.table(columns))
    advance = replace(advance, versions_read=pinned.versions, seconds=time.monotonic() - started)
    return Proposal(goods, order, naive, gain, float(budget), joined, left_out, advance)


def _offered(plan: OrderPlan, runtime: Runtime, pinned: Pinned) -> tuple[pa.Table, int]:
    """Forecasts with what is offered, in order; how many products have no offer."""
    session, entity = runtime.session, [*plan.forecaster.entity]
    forecasts = session.sql(pinned.relation(predictions_of(plan.forecaster))).toArrow()
    offers = session.sql(pinned.with_tables(plan.tables, plan.offers)).toArrow()
    rows = forecasts.join(offers, entity, join_type="inner")
    if not len(rows):
        raise PlanError(
            f"{plan.name}: none of {len(forecasts):,} products that are forecast has a cost and a "
            f"price; look at {', '.join(plan.tables)}"
        )
    return rows.sort_by([(name, "ascending") for name in entity]), len(forecasts) - len(rows)


def _dependence(
    plan: OrderPlan, runtime: Runtime, pinned: Pinned, registry: Registry, version: str
) -> Dependence:
    """How products and weeks hang together, by what the version would have forecast before."""
    learner = Forecasting(plan.forecaster)
    scorer = registry.scorer(plan.forecaster.name, version)
    data = replace(learner.training_set(runtime, pinned), inputs=scorer.inputs)
    known = data.between(None, None)
    origins = pc.cast(known.rows["event_time"], pa.int64()).to_numpy()
    return dependence(learner.forecast(scorer, known), learner.happened(known), origins)


def _replaced(plan: OrderPlan, runtime: Runtime, rows: pa.Table) -> Advance:
    """Let these be the live rows of the plan."""
    lake, entity = runtime.lake, [*plan.forecaster.entity]
    schema = arrow_schema(plan.contract).append(pa.field(DELETED, pa.bool_()))
    made = rows.append_column(DELETED, pa.array([False] * len(rows))).select(schema.names)
    with lake.lease([plan.name]):
        lake.ensure(plan.name, schema)
        before = lake.read(plan.name, where=[(DELETED, "=", False)]).select(schema.names)
        gone = before.join(made.select(entity), entity, join_type="left anti").to_pylist()
        marked = pa.Table.from_pylist([{**row, DELETED: True} for row in gone], schema)
        version = lake.merge(
            plan.name, pa.concat_tables([made.cast(schema), marked]), entity, "true", {}
        )
    return Advance(
        plan.name,
        rows_in=len(rows),
        kept=len(rows),
        written=len(rows) + len(gone),
        version=version,
        sample=sample_markdown(rows.sort_by([("cost", "descending")]).slice(0, 5), plan.contract),
    )


def _numbers(rows: pa.Table, name: str) -> Floats:
    return np.asarray(rows[name].cast(pa.float64()).to_numpy(), dtype=np.float64)
