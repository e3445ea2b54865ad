"""kill -9 at any instant, then run again: the tables are as if nothing had happened."""

import random

import pytest
from conftest import Home, invoice_files

DAYS = invoice_files()[:2]
KILLS = 25


@pytest.fixture(scope="module")
def undisturbed(nursery, homes) -> Home:
    home = homes("undisturbed")
    assert nursery.work(home, [DAYS[:1], DAYS[1:]]) == 0
    return home


def test_killed_at_25_points_the_tables_are_those_of_an_undisturbed_run(
    nursery, homes, undisturbed
):
    dice = random.Random(20101201)
    home = homes("killed")
    killed = 0
    while killed < KILLS:
        # Early kills tear the first commits, late ones those of gold.
        code = nursery.work(home, [DAYS[:1], DAYS[1:]], kill_after=dice.uniform(0.2, 6.0))
        assert code in (-9, 0)
        if code == 0:
            home = homes(f"killed_{killed}")
        killed += 1
    assert nursery.work(home, [DAYS[:1], DAYS[1:]]) == 0
    assert home.tables() == undisturbed.tables()
    assert [t for t in home.tables() if home.content(t) != undisturbed.content(t)] == []
