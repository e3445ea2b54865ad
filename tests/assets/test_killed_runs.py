"""kill -9 at any instant, then run again: the tables are as if nothing had happened."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import progress
import pytest
from conftest import Home, invoice_files

from resources.simulation.rates_server import serve_rates

DAYS = sorted(sorted(invoice_files(), key=lambda file: file.stat().st_size)[:2])
"""The smallest days: what counts is how many commits are torn, not how many rows they hold."""
KILLS = 25
SNAPSHOT = "gold.fct_inventory"
SNAPSHOT_FOLDER = "lake/gold/fct_inventory"
SNAPSHOT_COMMITS = 3
"""Of the first day, of all that it writes; of a later day one fewer."""


class Undisturbed:
    """A home in which nothing was killed, and how many files each day has added to it."""

    def __init__(self, home: Home, work: Callable[..., int]) -> None:
        self.home = home
        self.files = []
        for day in DAYS:
            before = progress.count(home.folder)
            assert work(home, [[day]]) == 0
            self.files.append(progress.count(home.folder) - before)


@pytest.fixture(scope="module")
def work(nursery) -> Iterator[Callable[..., int]]:
    """`nursery.work`, with one rates service for all children."""
    with serve_rates() as url:
        yield partial(nursery.work, AQUIFER_RATES_URL=url)


@pytest.fixture(scope="module")
def undisturbed(work, homes) -> Undisturbed:
    return Undisturbed(homes("undisturbed"), work)


def test_killed_at_25_points_the_tables_are_those_of_an_undisturbed_run(
    work, homes, undisturbed, fault
):
    """Each run goes on from where the one before was killed, through two days.

    One kill falls in each equal part of what a day writes, at random, and one in its snapshots.
    """
    dice = random.Random(20101201)
    home = homes("killed")
    killed = Counter()
    for day, (file, kills) in enumerate(zip(DAYS, (12, 11), strict=True), start=1):
        begun, whole = progress.count(home.folder), undisturbed.files[day - 1] - SNAPSHOT_COMMITS
        for part in range(kills):
            target = begun + dice.randrange(whole * part // kills, whole * (part + 1) // kills)
            # Work that was done twice counts twice: a kill comes after one more file at least.
            target = max(target, progress.count(home.folder) + 1)
            assert work(home, [[file]], kill_at=target) == -9
            killed[day, progress.latest(home.folder)] += 1
        merged = progress.count(home.folder, [SNAPSHOT_FOLDER]) + (2 if day == 1 else 1)
        assert work(home, [[file]], kill_at=merged, within=[SNAPSHOT_FOLDER]) == -9
        killed[day, progress.latest(home.folder)] += 1
    assert killed.total() == KILLS
    layers = {(day, table.split(".")[0]) for day, table in killed}
    assert layers >= {(day, layer) for day in (1, 2) for layer in ("bronze", "silver", "gold")}
    assert {(1, SNAPSHOT), (2, SNAPSHOT)} <= killed.keys()
    with fault("kill -9 of a run through all tables, the last of 25"):
        assert work(home, [DAYS]) == 0
    # Bronze too, and the quarantines: no row was lost or received twice.
    assert home.differing(undisturbed.home, home.lake.names()) == []
