"""The demand forecast learns what is to be learned, and orders are planned by it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from dagster import DagsterInstance, materialize
from demand import HIGH, LAST_SUNDAY, LOW, Demand, by_turns, is_high

from aquifer.models.batch import score
from aquifer.models.errors import PlanError, TrainingError
from aquifer.models.forecasting import Forecasting
from aquifer.models.order_plan import OrderConfig, plan_asset
from aquifer.models.ordering import propose
from aquifer.models.promotion import promote_challenger
from aquifer.models.scorer import Scorer
from aquifer.models.training import Budget, train
from aquifer.models.training_set import Pinned
from assets.models.demand_forecast import demand_forecast
from assets.models.order_plan import order_plan
from resources.registry import RegistryResource

PRODUCTS = 110


class Trained(Demand):
    """A world with a champion that has learned from sales by turns, and its predictions."""

    def __init__(self, folder):
        super().__init__(folder)
        self.registry = RegistryResource(
            uri=f"sqlite:///{folder}/mlflow.db",
            folder=str(folder / "mlflow"),
            leases=str(folder / "leases"),
        )
        self.put("silver.invoice_lines", *by_turns(PRODUCTS))
        self.put("silver.products", *[product(f"{10000 + n}") for n in range(PRODUCTS)])
        self.stock(LAST_SUNDAY, {f"{10000 + n}": 20 * n - 200 for n in range(PRODUCTS // 2)})
        self.compute()
        held = self.registry.registry
        budget = Budget(60, 2)
        studies = self.registry.studies
        self.trained = train(demand_forecast, self.runtime, held, studies, budget, {})
        assert [gate.reason for gate in self.trained.gates if not gate.passed] == []
        promote_challenger(held, demand_forecast.name, "a test")
        score(demand_forecast, self.lake, held)

    def scorer(self) -> Scorer:
        return self.registry.registry.champion(demand_forecast.name)

    def propose(self, **config):
        return propose(order_plan, self.runtime, self.registry.registry, OrderConfig(**config))


def product(code, cost="1.50"):
    prices = {"list_price": Decimal(4), "cost": Decimal(cost)}
    return {"sku": code, "name": code, "category": "Toys", **prices}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return Trained(tmp_path_factory.mktemp("demand"))


def test_a_planted_pattern_is_forecast(world):
    rows = {row["stock_code"]: row for row in world.rows("predictions.demand_forecast")}
    assert len(rows) == PRODUCTS
    for week in range(1, 5):
        turn = {
            high: np.mean(
                [
                    rows[f"{10000 + n}"][f"units_{week}w_p50"]
                    for n in range(PRODUCTS)
                    # The last sales are of the 34th week, whose number is 33.
                    if is_high(n, 33 + week) == high
                ]
            )
            for high in (True, False)
        }
        assert turn[True] == pytest.approx(HIGH + 2, rel=0.25)
        assert turn[False] == pytest.approx(LOW + 2, rel=0.5)


def test_quantiles_are_in_order_and_never_negative_whatever_the_features(world):
    scorer = world.scorer()
    chance = np.random.default_rng(3)
    wild = chance.lognormal(1, 2, (500, len(scorer.inputs))).astype(np.float32)
    nulls = [not each.nullable for each in scorer.inputs]
    wild[(chance.uniform(size=wild.shape) < 0.3) & ~np.array(nulls)] = np.nan
    found = scorer.predict(wild)
    for week in range(1, 5):
        low, median, high = (found[demand_forecast.output(week, q)] for q in (0.1, 0.5, 0.9))
        assert (low >= 0).all()
        assert (low <= median).all()
        assert (median <= high).all()


def test_the_graph_says_what_the_boosters_say(world):
    learner = Forecasting(demand_forecast)
    data = world.trained.data
    fitted = learner.fit(data, world.trained.choice)
    layout, matrix = learner.layout(data), data.holdout.matrix
    ratios = [each.predict(layout.seen(matrix)) for each in fitted.estimator]
    amounts = np.maximum(np.sort(np.stack(ratios, axis=1), axis=1), 0)
    level = layout.levels(matrix).astype(np.float64)
    expected = amounts.reshape(4, len(matrix), 3).transpose(1, 0, 2) * level[:, np.newaxis]
    found = learner.forecast(world.scorer(), data.holdout)
    assert np.abs(found - expected).max() > 0
    assert (np.abs(found - expected) <= 1e-5 * np.maximum(expected, level[:, np.newaxis])).all()


def test_every_example_has_its_features_and_the_weeks_that_came(world):
    data = world.trained.data
    assert not np.isnan(data.training.label("mean_13")).any()
    code, at = (data.holdout.column(name)[0] for name in ("stock_code", "event_time"))
    for week in range(1, 5):
        begin = at + timedelta(days=7 * (week - 1))
        sold = [
            row["quantity"]
            for row in world.rows("silver.invoice_lines")
            if row["stock_code"] == code and begin <= row["invoiced_at"] < begin + timedelta(days=7)
        ]
        assert data.holdout.label(f"week_{week}")[0] == sum(sold)


def test_a_month_of_sales_is_too_little_to_learn_from(tmp_path):
    young = Demand(tmp_path)
    young.put("silver.invoice_lines", *by_turns(20, weeks=5))
    young.compute()
    pinned = Pinned.now(young.lake, demand_forecast.upstreams)
    with pytest.raises(TrainingError, match=r"0 examples for training.* wait for more days"):
        Forecasting(demand_forecast).training_set(young.runtime, pinned)


def test_a_plan_keeps_its_budget_and_gains_on_the_naive_rule(world):
    with DagsterInstance.ephemeral() as instance:
        done = materialize(
            [plan_asset(order_plan)],
            instance=instance,
            resources={
                "lake": world.lake_resource,
                "engine": world.engine,
                "registry": world.registry,
            },
            run_config={"ops": {"predictions_order_plan": {"config": {"budget": 4000}}}},
        )
    assert {each.check_name for each in done.get_asset_check_evaluations()} >= {
        "budget_kept",
        "gains",
    }
    assert all(each.passed for each in done.get_asset_check_evaluations())
    (event,) = done.asset_materializations_for_node("predictions_order_plan")
    told = {name: value.value for name, value in event.metadata.items()}
    rows = [row for row in world.rows("predictions.order_plan") if not row["_deleted"]]
    assert len(rows) == PRODUCTS
    assert sum(row["quantity"] * row["unit_cost"] for row in rows) == pytest.approx(told["spent"])
    assert 3900 < told["spent"] <= 4000
    assert told["expected gain"] > 0
    assert told["expected gain, 5 % of scenarios below"] < told["expected gain"]
    assert told["expected gain"] == pytest.approx(sum(row["expected_gain"] for row in rows))
    # Nothing more is ordered of what there is plenty of; what is negative counts for none.
    stocked = {row["stock_code"]: row for row in rows}
    assert stocked["10050"]["quantity"] == 0
    assert stocked["10000"]["on_hand"] == 0


def test_the_same_plan_is_made_again(world):
    first, second = (world.propose(budget=1500.0) for _ in range(2))
    assert (first.order == second.order).all()
    assert first.gain.mean == second.gain.mean


def test_for_nothing_nothing_is_ordered_and_nothing_gained(world):
    made = world.propose(budget=0.0)
    assert made.spent == 0
    assert (made.gain.mean, made.gain.low, made.gain.high) == (0, 0, 0)


def test_without_a_budget_a_share_of_what_was_sold_lately_is_one(world):
    sold = sum(
        row["quantity"]
        for row in world.rows("silver.invoice_lines")
        if row["invoiced_at"].date() > LAST_SUNDAY - timedelta(days=31)
    )
    # The last sale is on a Thursday, and four weeks back from there are four weeks of turns.
    assert world.propose().budget == pytest.approx(0.5 * 1.5 * sold, rel=0.01)


def test_products_without_a_cost_are_left_out_and_a_plan_of_none_is_refused(world):
    codes = [f"{10000 + n}" for n in range(PRODUCTS)]
    try:
        world.put("silver.products", *[product(code, cost="0") for code in codes[:10]])
        made = world.propose(budget=500.0)
        assert made.left_out == 10
        assert len(made.goods) == PRODUCTS - 10
        world.put("silver.products", *[product(code, cost="0") for code in codes])
        with pytest.raises(PlanError, match="none of 110 products that are forecast has a cost"):
            world.propose(budget=500.0)
    finally:
        world.put("silver.products", *[product(code) for code in codes])


def test_a_plan_without_an_inventory_says_what_is_missing(world):
    missing = replace(order_plan, tables=["silver.products", "gold.fct_stock"])
    with pytest.raises(TrainingError, match=r"gold\.fct_stock does not exist yet"):
        propose(missing, world.runtime, world.registry.registry, OrderConfig())
