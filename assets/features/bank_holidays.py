"""Bank holidays of England, on which hardly anybody buys: known long before they come."""

from collections.abc import Iterator
from datetime import date, timedelta

PROCLAIMED = (
    date(2011, 4, 29),
    date(2012, 6, 5),
    date(2022, 6, 3),
    date(2022, 9, 19),
    date(2023, 5, 8),
)
"""Those that were proclaimed for one year."""

MOVED = {
    date(2012, 5, 28): date(2012, 6, 4),
    date(2020, 5, 4): date(2020, 5, 8),
    date(2022, 5, 30): date(2022, 6, 2),
}
"""Those that were moved in one year, to another day."""


def bank_holidays(first: int, last: int) -> list[date]:
    """Those of some years, both ends included, in order."""
    found = {day for year in range(first, last + 1) for day in _regular(year)}
    found = {MOVED.get(day, day) for day in found}
    return sorted(found | {day for day in PROCLAIMED if first <= day.year <= last})


def _regular(year: int) -> Iterator[date]:
    sunday = easter(year)
    yield _weekday_after(date(year, 1, 1))
    yield sunday - timedelta(days=2)
    yield sunday + timedelta(days=1)
    yield _monday(date(year, 5, 1))
    yield _monday(date(year, 5, 25))
    yield _monday(date(year, 8, 25))
    christmas = _weekday_after(date(year, 12, 25))
    yield christmas
    boxing = _weekday_after(date(year, 12, 26))
    yield boxing if boxing != christmas else christmas + timedelta(days=1)


def easter(year: int) -> date:
    """Easter Sunday in the Gregorian calendar, by the anonymous algorithm."""
    century, of_century = divmod(year, 100)
    golden = year % 19
    correction = (8 * century + 13) // 25
    moon = (19 * golden + century - century // 4 - correction + 15) % 30
    moon -= (golden + 11 * moon) // 319
    sunday = (2 * (century % 4) + 2 * (of_century // 4) - of_century % 4 - moon + 32) % 7
    month = (moon + sunday + 90) // 25
    return date(year, month, (moon + sunday + month + 19) % 32)


def _monday(first: date) -> date:
    """The first Monday from a day on."""
    return first + timedelta(days=-first.weekday() % 7)


def _weekday_after(day: date) -> date:
    """A day, or the Monday after it if it is a Saturday or Sunday."""
    return day if day.weekday() < 5 else _monday(day)
