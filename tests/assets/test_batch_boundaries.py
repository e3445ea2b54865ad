"""Batch boundaries do not matter: however the same files arrive, silver and gold are the same."""

import pytest
from conftest import Home, invoice_files

from assets import tables

FILES = invoice_files()
DAYS = [*FILES[:2], next((file for file in FILES if file.name[:7] > FILES[0].name[:7]), FILES[2])]
"""Three days, of two months if there are."""


@pytest.fixture(scope="module")
def at_once(nursery, homes) -> Home:
    home = homes("at_once")
    assert nursery.work(home, [DAYS]) == 0
    return home


def test_every_table_has_rows(at_once):
    """But for those of events, which no batch of files brings, and features that take weeks."""
    empty = {*(table.name for table in tables.events), "features.product_demand"}
    live = ("stream.", "predictions.")
    filled = [t for t in at_once.tables() if t not in empty and not t.startswith(live)]
    assert [t for t in filled if not at_once.content(t)] == []


@pytest.fixture(scope="module")
def day_by_day(nursery, homes) -> Home:
    """Made in another time zone, which changes nothing either."""
    home = homes("day_by_day")
    assert nursery.work(home, [[day] for day in DAYS], TZ="America/New_York") == 0
    return home


def test_day_by_day_in_another_time_zone_is_all_at_once(day_by_day, at_once):
    assert day_by_day.differing(at_once) == []


def test_incremental_gold_is_a_full_refresh(nursery, day_by_day, at_once):
    assert nursery.work(day_by_day, [], full_refresh=True) == 0
    assert day_by_day.differing(at_once) == []


def test_shuffled_and_redelivered_is_all_at_once(nursery, homes, at_once):
    home = homes("shuffled")
    assert nursery.work(home, [[DAYS[2], DAYS[0]], [DAYS[1], DAYS[0]]]) == 0
    assert home.differing(at_once) == []
