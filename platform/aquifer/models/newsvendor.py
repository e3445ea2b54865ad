"""The newsvendor's problem under a budget: how much to order of what, before demand is known.

Belongs here: what an order is worth, and which is best over scenarios (sample average
approximation, solved by HiGHS). Does not: where scenarios come from (`scenarios`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from aquifer.models.evaluation import Floats

SEGMENTS = 20
"""Into how many steps the distribution of a product's demand is divided."""

INTERVAL = 0.9


@dataclass(frozen=True)
class Goods:
    """What can be ordered.

    Attributes:
        on_hand, cost, price: of each product; shape (products). Costs are above zero.
        loss: the share of its cost that a piece loses which is left over.
    """

    on_hand: Floats
    cost: Floats
    price: Floats
    loss: float

    def __len__(self) -> int:
        return len(self.cost)

    @property
    def margin(self) -> Floats:
        """What a piece earns that is sold."""
        return np.asarray(self.price - self.cost)

    def profit(self, order: Floats, demand: Floats) -> Floats:
        """What each product earns in each scenario, less what is lost on pieces left over.

        Args:
            order: shape (products).
            demand: shape (products, scenarios); so has the result.
        """
        there = (self.on_hand + order)[:, np.newaxis]
        sold = np.minimum(there, demand)
        lost = (self.loss * self.cost)[:, np.newaxis] * (there - sold)
        return np.asarray(self.margin[:, np.newaxis] * sold - lost)


def best_order(goods: Goods, demand: Floats, budget: float) -> Floats:
    """The whole pieces of each product whose mean profit over scenarios is the greatest.

    The worth of one more piece falls with the share of scenarios that still ask for it. Each step
    of it is a variable of a linear program: concave, so that steps are taken in their order, and
    with one constraint, so that all but one of them come out whole.

    Args:
        demand: shape (products, scenarios), whole pieces.
    """
    count = demand.shape[1]
    ends = np.linspace(0, count, min(SEGMENTS, count) + 1).round().astype(int)
    upto = np.maximum(np.sort(demand, axis=1)[:, ends[1:] - 1], goods.on_hand[:, np.newaxis])
    pieces = np.diff(upto, axis=1, prepend=goods.on_hand[:, np.newaxis])
    # The first piece of a step is asked for by all scenarios from its beginning on, the last one
    # by those at its end.
    asked = 1 - (ends[:-1] + ends[1:] - 1) / (2 * count)
    lost = (goods.loss * goods.cost)[:, np.newaxis]
    worth = goods.margin[:, np.newaxis] * asked - lost * (1 - asked)
    product, step = np.nonzero((pieces > 0) & (worth > 0))
    if not len(product):
        return np.zeros(len(goods))
    width, price = pieces[product, step], goods.cost[product]
    solved = linprog(
        -worth[product, step],
        A_ub=csr_matrix(price[np.newaxis]),
        b_ub=[budget],
        bounds=np.column_stack([np.zeros_like(width), width]),
        method="highs",
        # It looks for constraints to remove, and takes ten times as long as the solution.
        options={"presolve": False},
    )
    if solved.status != 0:
        raise RuntimeError(f"HiGHS has not solved the order: {solved.message}")
    # Down to whole pieces, but not for a rounding of the solver.
    order = np.bincount(product, weights=solved.x, minlength=len(goods))
    return np.asarray(np.floor(order + 1e-6), dtype=np.float64)


def order_up_to(goods: Goods, level: Floats, budget: float) -> Floats:
    """The naive rule: what lacks to a level, the best margin for its cost first, until the budget
    is spent."""
    lacking = np.where(goods.margin > 0, np.maximum(np.ceil(level - goods.on_hand), 0), 0)
    order = np.zeros(len(goods))
    left = budget
    for product in np.argsort(-goods.margin / goods.cost, kind="stable"):
        order[product] = min(lacking[product], np.floor(left / goods.cost[product]))
        left -= order[product] * goods.cost[product]
    return order


@dataclass(frozen=True)
class Expected:
    """What an order is expected to gain on another.

    Attributes:
        by_product: the mean over scenarios; shape (products).
        mean: of all products together.
        low, high: between which it lies in 90 % of scenarios.
        demand: the mean demand of each product.
    """

    by_product: Floats
    mean: float
    low: float
    high: float
    demand: Floats


def expected_gain(
    goods: Goods, order: Floats, other: Floats, scenarios: Iterable[Floats]
) -> Expected:
    """What an order gains on another in scenarios, which it must not have been made for."""
    gains, by_product, demand = [], np.zeros(len(goods)), np.zeros(len(goods))
    for some in scenarios:
        gain = goods.profit(order, some) - goods.profit(other, some)
        gains.append(gain.sum(axis=0))
        by_product += gain.sum(axis=1)
        demand += some.sum(axis=1)
    totals = np.concatenate(gains)
    low, high = np.quantile(totals, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2])
    count = len(totals)
    mean = float(totals.mean())
    return Expected(by_product / count, mean, float(low), float(high), demand / count)
