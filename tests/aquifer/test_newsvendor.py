"""Orders under a budget are the best there are, by scenarios that keep what was forecast."""

from itertools import product

import numpy as np
import pytest
from scipy.special import ndtr

from aquifer.models.newsvendor import Goods, best_order, expected_gain, order_up_to
from aquifer.models.scenarios import Dependence, amount, dependence, probability, totals

CHANCE = np.random.default_rng(2)


def goods(on_hand, cost, price, loss=0.25):
    return Goods(*(np.array(each, dtype=float) for each in (on_hand, cost, price)), loss)


def test_no_order_within_the_budget_earns_more():
    some = goods([0, 2, 1], [1, 1, 1], [3, 1.5, 2.2])
    demand = CHANCE.poisson([[4.0], [6.0], [3.0]], (3, 20)).astype(float)
    for budget in (0, 1, 4, 9, 30):
        best = best_order(some, demand, budget)
        assert best @ some.cost <= budget
        tried = [
            some.profit(np.array(order, dtype=float), demand).mean(axis=1).sum()
            for order in product(range(12), repeat=3)
            if sum(order) <= budget
        ]
        assert some.profit(best, demand).mean(axis=1).sum() == pytest.approx(max(tried))


@pytest.mark.parametrize("share", [0.2, 0.6, 1.5])
def test_the_best_order_gains_on_the_naive_rule_in_fresh_scenarios(share):
    median = CHANCE.lognormal(3, 1, (200, 1))
    quantiles = median[:, np.newaxis] * np.array([0.4, 1.0, 2.5]) * np.ones((1, 4, 1))
    cost = CHANCE.uniform(1, 5, 200)
    some = goods(CHANCE.integers(0, 100, 200), cost, cost * CHANCE.uniform(0.9, 3, 200))
    joined = Dependence(0.05, 0.2)
    demand = np.concatenate([*totals(quantiles, joined, 300, 1)], axis=1)
    budget = share * float((4 * median[:, 0]) @ cost)
    best = best_order(some, demand, budget)
    naive = order_up_to(some, 4 * median[:, 0], budget)
    assert best @ cost <= budget
    assert naive @ cost <= budget
    gain = expected_gain(some, best, naive, totals(quantiles, joined, 500, 2))
    assert gain.mean > 0
    assert gain.low < gain.mean < gain.high
    assert gain.by_product.sum() == pytest.approx(gain.mean)


def test_nothing_is_ordered_that_earns_nothing():
    some = goods([0, 0, 500], [2, 2, 2], [2, 1, 9])
    demand = CHANCE.poisson(20, (3, 50)).astype(float)
    assert best_order(some, demand, 1e6).tolist() == [0, 0, 0]
    assert order_up_to(some, np.full(3, 20.0), 1e6).tolist() == [0, 0, 0]


def test_amounts_and_probabilities_are_inverse_to_each_other():
    quantiles = np.array([[2.0, 5.0, 11.0], [0.0, 0.0, 3.0]])
    asked = np.linspace(0.02, 0.99, 30)[np.newaxis].repeat(2, axis=0)
    amounts = amount(quantiles, asked)
    assert amount(quantiles, np.array([[0.1, 0.5, 0.9]] * 2)) == pytest.approx(quantiles)
    back = np.column_stack([probability(quantiles, each) for each in amounts.T])
    assert back[0] == pytest.approx(asked[0])
    # Half of the second product's distribution is at zero.
    assert back[1] == pytest.approx(np.maximum(asked[1], 0.5))


def test_scenarios_keep_the_quantiles_that_were_forecast_and_what_is_shared():
    quantiles = np.full((400, 1, 3), [100.0, 200.0, 450.0])
    drawn = np.concatenate([*totals(quantiles, Dependence(0.3, 0.2), 600, 7)], axis=1)
    assert np.quantile(drawn, [0.1, 0.5, 0.9]) == pytest.approx([100, 200, 450], rel=0.03)
    alone = np.concatenate([*totals(quantiles, Dependence(0, 0.2), 600, 7)], axis=1)
    assert drawn.sum(axis=0).std() > 5 * alone.sum(axis=0).std()


def test_what_is_shared_is_found_again():
    origins = np.repeat(np.arange(60), 100)
    common = np.sqrt(0.25) * CHANCE.standard_normal(60)[origins, np.newaxis]
    own = np.sqrt(0.3) * CHANCE.standard_normal((6000, 1))
    scores = common + own + np.sqrt(0.45) * CHANCE.standard_normal((6000, 4))
    quantiles = np.full((6000, 4, 3), [1000.0, 2000.0, 4500.0])
    happened = np.column_stack(
        [amount(quantiles[:, week], ndtr(scores[:, [week]]))[:, 0] for week in range(4)]
    )
    found = dependence(quantiles, happened, origins)
    assert found.shared == pytest.approx(0.25, abs=0.08)
    assert found.own == pytest.approx(0.3, abs=0.06)
