"""Drift: what counts as such, whatever the number of rows and where they come from."""

import numpy as np
import pyarrow as pa
import pytest

from aquifer.models.drift import THRESHOLD, Drift, drift

STORES, ROWS = 25, 5_000
STORE = ["returns", "markdown"]


@pytest.fixture
def measured(tmp_path):
    def measure(before: pa.Table, after: pa.Table) -> Drift:
        return drift(before, after, ["payment"], tmp_path / "report.html", [STORE])

    return measure


def events(seed: int, *, returns: float = 0.1, cards: float = 0.5, gross: float = 20) -> pa.Table:
    """Events of a day: each has a value and a payment, and what its store was like."""
    dice = np.random.default_rng(seed)
    store = dice.integers(STORES, size=ROWS)
    return pa.table(
        {
            "gross": dice.gamma(2, gross / 2, ROWS),
            "payment": np.where(dice.random(ROWS) < cards, "card", "cash"),
            "returns": dice.normal(returns, 0.02, STORES)[store],
            "markdown": dice.normal(0.05, 0.01, STORES)[store],
        }
    )


@pytest.mark.parametrize("seed", range(5))
def test_what_a_few_stores_differ_by_from_day_to_day_is_no_drift(measured, seed):
    found = measured(events(seed), events(100 + seed))
    assert max(found.indices[name] for name in STORE) > THRESHOLD
    assert (found.drifted, found.share) == ([], 0)


def test_what_all_stores_have_come_to_do_is_drift(measured):
    assert measured(events(1), events(2, returns=0.2)).drifted == ["returns"]


def test_events_and_their_categories_drift_where_much_of_them_changes(measured):
    assert {*measured(events(1), events(2, gross=40, cards=0.8)).drifted} == {"gross", "payment"}


def test_a_small_change_of_many_events_is_no_drift(measured):
    found = measured(events(1), events(2, gross=22, cards=0.56))
    assert found.chances["payment"] < 0.01
    assert found.drifted == []


def test_a_column_that_has_lost_its_values_counts_as_drifted(measured):
    after = events(2)
    lost = after.set_column(0, "gross", pa.nulls(ROWS, pa.float64()))
    found = measured(events(1), lost)
    assert (found.unusable, found.share) == (["gross"], 0.25)
