"""Product communities: what is bought together is found to be, week by week."""

from datetime import date

import pytest
from baskets import basket, group, grouped, product
from worlds import MadeUp

from aquifer.daily import Days
from assets import snapshots
from assets.features.product_communities import product_communities

VIEW = product_communities.name
LINES = "silver.invoice_lines"
GROUPS = [group(n) for n in range(5)]
COLUMNS = ["day", "stock_code", "community", "community_size", "strength", "share_within"]


def found(world: MadeUp, last: date = date.max) -> list[tuple]:
    return sorted(
        tuple(row[name] for name in COLUMNS) for row in world.rows(VIEW) if row["day"] <= last
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> MadeUp:
    """A shop of five weeks."""
    world = MadeUp(tmp_path_factory.mktemp("shop"))
    world.put(LINES, *map(dict, grouped(range(35), 8, GROUPS)))
    world.compute(product_communities)
    return world


def test_products_that_are_bought_together_are_one_community_from_each_sunday_on(shop):
    days = sorted({row["day"] for row in shop.rows(VIEW)})
    assert days == [date(2011, 1, 9 + 7 * week) for week in range(3)] + [
        date(2011, 1, 30),
        date(2011, 2, 6),
    ]
    last = [row for row in shop.rows(VIEW) if row["day"] == days[-1]]
    members: dict[str, set[str]] = {}
    for row in last:
        members.setdefault(row["community"], set()).add(row["stock_code"])
    assert sorted(map(sorted, members.values())) == GROUPS
    for row in last:
        assert row["community"] in members[row["community"]]
        assert row["community_size"] == len(GROUPS[0])
        assert row["share_within"] > 0.8
    by_strength = {row["stock_code"]: row["strength"] for row in last}
    for central, codes in members.items():
        assert by_strength[central] == max(by_strength[code] for code in codes)


def test_later_baskets_change_no_week_before(shop):
    before = found(shop)
    # All of two groups at once, from the Monday after the last Sunday on.
    both = [*GROUPS[0], *GROUPS[1]]
    for n in range(60):
        shop.put(LINES, *basket(9_000 + n, 35 + n % 7, both))
    assert shop.compute(product_communities) == Days(date(2011, 2, 7), date(2011, 2, 13))
    assert found(shop, date(2011, 2, 12)) == before
    # Computed anew with all that came later, they are the same.
    all_days = Days(snapshots.FIRST_DAY, date(2011, 2, 13))
    product_communities.advance(shop.runtime, shop.online, all_days, snapshots.FIRST_DAY)
    assert found(shop, date(2011, 2, 12)) == before
    merged = {row[2] for row in found(shop) if row[0] == date(2011, 2, 13) and row[1] in both}
    assert len(merged) == 1


def test_week_by_week_comes_to_the_same_as_all_weeks_at_once(tmp_path):
    rows = list(map(dict, grouped(range(21), 8, GROUPS[:3])))
    once, weekly = MadeUp(tmp_path / "once"), MadeUp(tmp_path / "weekly")
    once.put(LINES, *rows)
    once.compute(product_communities)
    for week in range(3):
        until = date(2011, 1, 10 + 7 * week)
        weekly.put(LINES, *(row for row in rows if row["invoiced_at"].date() < until))
        weekly.compute(product_communities)
    assert found(weekly) == found(once) != []


def test_neither_large_baskets_nor_returns_nor_products_bought_alone_are_links(tmp_path):
    world = MadeUp(tmp_path)
    stocked = [product(500 + n) for n in range(101)]
    for n in range(7):
        returned = [{**row, "line_type": "return"} for row in basket(2_000 + n, n, GROUPS[1])]
        world.put(
            LINES,
            *basket(1_000 + n, n, stocked),
            *returned,
            *basket(3_000 + n, n, GROUPS[2][:1]),
            *basket(4_000 + n, n, GROUPS[0][:2]),
            *basket(5_000 + n, n, GROUPS[3][:2]),
        )
    world.compute(product_communities)
    assert {row["stock_code"] for row in world.rows(VIEW)} == {*GROUPS[0][:2], *GROUPS[3][:2]}
