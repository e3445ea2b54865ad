"""The features of products are what was known at the end of each day."""

from datetime import date, timedelta

import pytest
from demand import FIRST_MONDAY, Demand, by_turns, line

from assets.features.bank_holidays import bank_holidays

DAY = FIRST_MONDAY + timedelta(days=7 * 20 + 3)


@pytest.fixture
def world(tmp_path):
    """A world of some sales; the engine knows the tables of the last one alone."""

    def made(*lines):
        held = Demand(tmp_path / f"{len([*tmp_path.iterdir()])}")
        held.put("silver.invoice_lines", *lines)
        return held

    return made


def test_what_happens_after_a_day_does_not_change_its_features(world):
    lines = by_turns(6, weeks=22)
    leak = [line(lines[0]["stock_code"], DAY + timedelta(days=1), 9_999, 59)]
    all_of_it = world(*lines, *leak)
    all_of_it.compute()
    found = all_of_it.features(DAY)
    until_then = world(*[each for each in lines if each["invoiced_at"].date() <= DAY])
    until_then.compute(DAY, DAY)
    assert len(found) == 6
    assert until_then.features(DAY) == found


def test_day_by_day_comes_to_the_same_as_all_at_once(world):
    lines = by_turns(5, weeks=14)
    last = max(each["invoiced_at"] for each in lines).date()
    at_once = world(*lines)
    at_once.compute()
    by_day = world(*lines)
    for back in range(9, -1, -1):
        by_day.compute(last - timedelta(days=back), last - timedelta(days=back))
    some = by_day.features()
    assert len(some) == 10 * 5
    assert some == {key: row for key, row in at_once.features().items() if key in some}


def test_a_product_is_told_of_from_8_weeks_after_its_first_sale_to_13_after_its_last(world):
    first = date(2011, 3, 2)
    last = first + timedelta(days=20)
    other = [line("20001", first + timedelta(days=days), 1) for days in range(0, 140, 7)]
    made = world(line("20000", first, 10), line("20000", last, 4, 1), *other)
    made.compute()
    days = [day for day, code in made.features() if code == "20000"]
    assert min(days) == first + timedelta(days=7 * 8 - 1)
    assert max(days) == last + timedelta(days=7 * 13 - 1)


def test_weeks_count_back_from_the_day_and_are_null_before_the_first_sale(world):
    first = date(2011, 3, 2)
    day = first + timedelta(days=7 * 9)
    made = world(
        line("20000", first, 100),
        line("20000", day - timedelta(days=7), 6, 1, unit_price=4),
        line("20000", day - timedelta(days=6), 3, 2),
        line("20000", day, 4, 2),
        line("20000", day, 5, 3),
        line("20000", day, -5, 4, line_type="return"),
    )
    made.compute(day, day)
    (row,) = made.features(day).values()
    # The first sale was 63 days before, so 9 weeks are known, and it lies before them.
    assert (row["units_1"], row["units_2"]) == (12, 6)
    assert [row[f"units_{back}"] for back in range(3, 10)] == [0] * 7
    assert [row[f"units_{back}"] for back in range(10, 14)] == [None] * 4
    assert row["weeks_known"] == 9
    assert row["mean_4"] == 18 / 4
    assert row["mean_13"] == pytest.approx(18 / 9)
    assert row["deviation_4"] == pytest.approx(((12**2 + 6**2) / 4 - 4.5**2) ** 0.5)
    assert row["sold_weeks_4"] == 2
    assert row["buyers_1"] == 3
    assert row["days_since_sale"] == 0
    assert row["price_change"] == pytest.approx((10 / 4) / (12 / 5))


def test_bank_holidays_to_come_are_known(world):
    assert [f"{day:%m-%d}" for day in bank_holidays(2011, 2011)] == (
        ["01-03", "04-22", "04-25", "04-29", "05-02", "05-30", "08-29", "12-26", "12-27"]
    )
    assert [f"{day:%m-%d}" for day in bank_holidays(2022, 2022)] == (
        ["01-03", "04-15", "04-18", "05-02", "06-02", "06-03", "08-29", "09-19", "12-26", "12-27"]
    )
    day = date(2011, 4, 17)
    weeks = [day - timedelta(days=7 * back) for back in range(13)]
    made = world(*[line("20000", each, 1) for each in weeks])
    made.compute(day, day)
    (row,) = made.features(day).values()
    assert [row[f"holidays_{week}"] for week in range(1, 5)] == [1, 2, 1, 0]
