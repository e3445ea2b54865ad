"""Made-up baskets of invoices, whose products go together in groups."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from customers import purchase

FIRST = datetime(2011, 1, 3, 12, tzinfo=UTC)
"""A Monday."""


def product(number: int) -> str:
    """The code of a product."""
    return f"{10_000 + number}"


def group(number: int, size: int = 6) -> list[str]:
    """The products of a group."""
    return [product(number * size + n) for n in range(size)]


def basket(invoice: int, day: int, products: Iterable[str]) -> list[dict[str, Any]]:
    """The lines of an invoice, so many days after the first."""
    at = FIRST + timedelta(days=day)
    return [
        {
            **purchase(invoice, str(20_000 + invoice), at),
            "line_id": f"{invoice}/{code}",
            "stock_code": code,
        }
        for code in products
    ]


def grouped(
    days: range, daily: int, groups: Sequence[Sequence[str]], seed: int = 3
) -> list[Mapping[str, Any]]:
    """Baskets with most of a group of products, and one of another."""
    dice = Random(f"{seed} {days.start}")
    rows: list[Mapping[str, Any]] = []
    for day in days:
        for n in range(daily):
            own = dice.randrange(len(groups))
            other = dice.choice(groups[(own + dice.randrange(1, len(groups))) % len(groups)])
            products = [*dice.sample(groups[own], len(groups[own]) - 2), other]
            rows += basket(day * daily + n, day, products)
    return rows
