"""What orders by the forecast would have earned at the origins that were held out.

It takes a home with gold and a champion of the forecast: `make demo` and `make models` on months of
invoices. Orders are made with the stock of each origin, by a champion that had not learned from the
weeks that followed, and judged by what was sold in these. Costs, prices and stock are simulated.
"""

import os
from datetime import date, timedelta

import numpy as np
from common import markdown

from aquifer.errors import AquiferError
from aquifer.models.errors import RegistryError
from aquifer.models.evaluation import SAMPLES, SEED, Floats
from aquifer.models.forecaster import QUANTILES
from aquifer.models.forecasting import Forecasting
from aquifer.models.newsvendor import Goods, best_order, expected_gain, order_up_to
from aquifer.models.order_plan import OrderConfig
from aquifer.models.ordering import FRESH, PLANNED
from aquifer.models.scenarios import Dependence, dependence, totals
from aquifer.models.training_set import Part, Pinned
from aquifer.runtime import Runtime
from assets.models.demand_forecast import demand_forecast
from resources.environment import resources

BUDGETS = (0.25, 0.5, 1.0)
"""Shares of the cost of what was sold in the four weeks before."""

OFFERS = """
    with stock as (
        select stock_code, sum(greatest(on_hand, 0)) as on_hand
        from fct_inventory where day = date'{day}' group by stock_code
    )
    select sku, cast(cost as double) as cost, cast(list_price as double) as price,
        cast(coalesce(on_hand, 0) as double) as on_hand
    from products p left join stock s on p.sku = s.stock_code
    where cost > 0
"""


def joined_before(learner: Forecasting, scorer, part: Part) -> Dependence:
    """How products hung together in what was learned from."""
    origins = [at.timestamp() for at in part.column("event_time")]
    return dependence(learner.forecast(scorer, part), learner.happened(part), origins)


def judged(
    goods: Goods, quantiles: Floats, sold: Floats, joined: Dependence, budget: float
) -> tuple[str, ...]:
    """What the plan gains on the naive rule: as expected, and as it came."""
    demand = np.concatenate([*totals(quantiles, joined, PLANNED, SEED)], axis=1)
    order = best_order(goods, demand, budget)
    naive = order_up_to(goods, quantiles[:, :, QUANTILES.index(0.5)].sum(axis=1), budget)
    expected = expected_gain(goods, order, naive, totals(quantiles, joined, FRESH, SEED + 1))
    sold = sold[:, np.newaxis]
    gained = (goods.profit(order, sold) - goods.profit(naive, sold))[:, 0]
    count = len(gained)
    drawn = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), SAMPLES)
    low, high = np.quantile(drawn @ gained, [0.025, 0.975])
    return (
        f"{budget:,.0f}",
        f"{order @ goods.cost:,.0f}",
        f"{naive @ goods.cost:,.0f}",
        f"{goods.profit(naive, sold).sum():,.0f}",
        f"{expected.mean:,.0f} ({expected.low:,.0f} to {expected.high:,.0f})",
        f"{gained.sum():,.0f} ({low:,.0f} to {high:,.0f})",
    )


def main() -> None:
    """Print the table."""
    world = resources()
    runtime = Runtime(world["engine"].spark_session, world["lake"].lake)
    learner = Forecasting(demand_forecast)
    scorer = world["registry"].registry.champion(demand_forecast.name)
    if scorer is None:
        raise RegistryError("there is no champion of demand_forecast; run `make models` first")
    tables = ["silver.products", "gold.fct_inventory"]
    pinned = Pinned.now(runtime.lake, [*demand_forecast.upstreams, *tables])
    data = learner.training_set(runtime, pinned)
    joined = joined_before(learner, scorer, data.training)
    rows = []
    for at in sorted({*data.holdout.column("event_time")}):
        part = data.between(at, at + timedelta(microseconds=1))
        goods, known = offered(runtime, pinned, tables, part, (at - timedelta(days=1)).date())
        sold = learner.happened(part)[known].sum(axis=1)
        before = sum(part.label(name) for name in demand_forecast.history[:4])[known]
        quantiles = learner.forecast(scorer, part)[known]
        for share in BUDGETS:
            budget = share * float(before @ goods.cost)
            rows.append((f"{at:%Y-%m-%d}", *judged(goods, quantiles, sold, joined, budget)))
    print(
        f"version {scorer.version}, learned from {len(data.training):,} examples; "
        f"{len(data.holdout):,} products and origins held out; {PLANNED} scenarios for the plan "
        f"and {FRESH:,} to judge it; seed {SEED}; {os.cpu_count()} cores"
    )
    columns = ["from", "budget", "spent", "by the naive rule", "which earned"]
    columns += ["expected gain (90 % of scenarios)", "gain as it came (95 % over products)"]
    markdown("Four weeks' orders, GBP", columns, rows)


def offered(
    runtime: Runtime, pinned: Pinned, tables: list[str], part: Part, day: date
) -> tuple[Goods, np.ndarray]:
    """What could be ordered at the end of a day, and of which examples."""
    query = pinned.with_tables(tables, OFFERS.format(day=day))
    offers = {row["sku"]: row for row in runtime.session.sql(query).toArrow().to_pylist()}
    codes = part.column("stock_code")
    known = np.array([code in offers for code in codes])
    chosen = [offers[code] for code in codes if code in offers]
    columns = (np.array([row[name] for row in chosen]) for name in ("on_hand", "cost", "price"))
    return Goods(*columns, OrderConfig().loss), known


if __name__ == "__main__":
    try:
        main()
    except AquiferError as error:
        raise SystemExit(f"order_plan.py: {error}") from error
