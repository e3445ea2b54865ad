"""Lives: what happens to each entity of the order database, from its own random numbers."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from resources.simulation import words
from resources.simulation.schedule import Step, text

START = datetime(2010, 12, 1, tzinfo=UTC)
"""The first day of the invoices; what is older is history that the databases begin with."""

END = datetime(2012, 12, 31, tzinfo=UTC)
"""Lives are told until here."""


def chance(seed: int, kind: str, entity: str) -> random.Random:
    """The entity's own random numbers."""
    return random.Random(f"{seed}/{kind}/{entity}")


def instants(dice: random.Random, begin: datetime, mean_days: float) -> Iterator[datetime]:
    """Instants of a Poisson process, until the end of all lives."""
    at = begin
    while True:
        at += timedelta(seconds=round(dice.expovariate(1 / (mean_days * 86_400))))
        if at >= END:
            return
        yield at


@lru_cache(maxsize=65_536)
def registered_at(seed: int, customer_id: str) -> datetime | None:
    """When the customer signs up at the shop: mostly before the first invoice, some never."""
    dice = chance(seed, "registration", customer_id)
    share = dice.random()
    if share < 0.08:
        return None
    if share < 0.23:
        return START + timedelta(minutes=dice.randrange(60, 300 * 1440))
    return START - timedelta(minutes=dice.randrange(1440, 600 * 1440))


def customer(seed: int, customer_id: str) -> Iterator[Step]:
    """Sign-up, moves, renames, new contacts; a few leave, and some of them come back."""
    begin = registered_at(seed, customer_id)
    if begin is None:
        return
    dice = chance(seed, "customer", customer_id)
    country = dice.choices(list(words.CITIES), weights=words.COUNTRY_WEIGHTS)[0]
    first, last = dice.choice(words.FIRST_NAMES), dice.choice(words.LAST_NAMES)
    row: dict[str, Any] = {
        "customer_id": customer_id,
        "name": f"{first} {last}",
        "email": f"{first}.{last}.{customer_id}@example.com".lower(),
        "phone": f"+44 1632 {dice.randrange(960_000, 961_000)}",
        "address": f"{dice.randrange(1, 200)} {dice.choice(words.STREETS)}",
        "city": dice.choice(words.CITIES[country]),
        "country": country,
    }
    yield Step(begin, "insert", "customers", dict(row))
    gone = False
    for at in instants(dice, begin, 500):
        kind = dice.random()
        if gone:
            gone = False
            yield Step(at, "insert", "customers", dict(row))
        elif kind < 0.04:
            gone = True
            yield Step(at, "delete", "customers", {"customer_id": customer_id})
        else:
            _change(dice, kind, row)
            yield Step(at, "update", "customers", dict(row))


def _change(dice: random.Random, kind: float, row: dict[str, Any]) -> None:
    if kind < 0.6:
        if kind < 0.1:
            row["country"] = dice.choice(list(words.CITIES))
        row["city"] = dice.choice(words.CITIES[row["country"]])
        row["address"] = f"{dice.randrange(1, 200)} {dice.choice(words.STREETS)}"
    elif kind < 0.75:
        row["name"] = f"{row['name'].split()[0]} {dice.choice(words.LAST_NAMES)}"
    else:
        row["phone"] = f"+44 1632 {dice.randrange(960_000, 961_000)}"


def product(seed: int, sku: str) -> Iterator[Step]:
    """A catalogue entry whose price changes now and then."""
    dice = chance(seed, "product", sku)
    category = dice.choice(list(words.CATEGORIES))
    price = Decimal(dice.randrange(29, 1500)) / 100
    row: dict[str, Any] = {
        "sku": sku,
        "name": f"{dice.choice(words.CATEGORIES[category])} {sku}",
        "category": category,
        "list_price": str(price),
        "cost": str((price * dice.randrange(35, 75) / 100).quantize(Decimal("0.01"))),
    }
    begin = START - timedelta(days=dice.randrange(30, 700))
    yield Step(begin, "insert", "products", dict(row))
    for at in instants(dice, START, 400):
        price = (price * dice.randrange(90, 116) / 100).quantize(Decimal("0.01"))
        row["list_price"] = str(price)
        yield Step(at, "update", "products", dict(row))


@lru_cache(maxsize=65_536)
def stocking_stores(seed: int, sku: str) -> list[str]:
    """The stores that keep the product: none for three products of four."""
    dice = chance(seed, "stocking", sku)
    if dice.random() >= 0.25:
        return []
    return dice.sample([store_id for store_id, *_ in words.STORES], dice.choice([1, 1, 2]))


def stock(seed: int, sku: str) -> Iterator[Step]:
    """Receipts of the product at the stores that keep it."""
    for store_id in stocking_stores(seed, sku):
        dice = chance(seed, f"receipts/{store_id}", sku)
        first = START - timedelta(days=dice.randrange(1, 20))
        for n, at in enumerate([first, *instants(dice, first, 60)]):
            row = {
                "movement_id": f"R-{sku}-{store_id}-{n}",
                "store_id": store_id,
                "sku": sku,
                "quantity": dice.randrange(12, 96),
                "kind": "receipt",
                "moved_at": text(at),
            }
            yield Step(at, "insert", "stock_movements", row)


def store(seed: int, store_id: str) -> Iterator[Step]:
    """An opening, and now and then a new name or place."""
    dice = chance(seed, "store", store_id)
    _, city, country = next(store for store in words.STORES if store[0] == store_id)
    opened = START - timedelta(days=dice.randrange(100, 3000))
    row = {
        "store_id": store_id,
        "name": f"{city} {dice.choice(words.STREETS)}",
        "city": city,
        "country": country,
        "opened_on": opened.date().isoformat(),
    }
    yield Step(opened, "insert", "stores", dict(row))
    for at in instants(dice, START, 300):
        row["name"] = f"{city} {dice.choice(words.STREETS)}"
        yield Step(at, "update", "stores", dict(row))


def region(country: str) -> Iterator[Step]:
    """The region of a country, and what the reorganisations make of it."""
    begin = START - timedelta(days=365)
    row = {"country": country, "region": words.REGIONS[country]}
    yield Step(begin, "insert", "regions", dict(row))
    for at, moved, new_region in words.REORGANISATIONS:
        if moved == country:
            yield Step(at, "update", "regions", {"country": country, "region": new_region})


@dataclass(frozen=True)
class Invoice:
    """What an order is made from: an invoice's customer, day and product lines."""

    invoice_no: str
    customer_id: str
    invoiced_at: datetime
    lines: Sequence[tuple[str, int, str]]
    """SKU, quantity and unit price."""


def order(seed: int, invoice: Invoice) -> Iterator[Step]:
    """One invoice in eight is also an order at the web shop, with a life cycle of some days."""
    dice = chance(seed, "order", invoice.invoice_no)
    since = registered_at(seed, invoice.customer_id)
    if dice.random() >= 0.125 or since is None or since > invoice.invoiced_at:
        return
    order_id, at = f"W{invoice.invoice_no}", invoice.invoiced_at
    store_id = dice.choice(words.STORES)[0]
    row: dict[str, Any] = {
        "order_id": order_id,
        "customer_id": invoice.customer_id,
        "store_id": store_id,
        "status": "placed",
        "placed_at": text(at),
        "currency": "GBP",
    }
    yield Step(at, "insert", "orders", dict(row))
    lines = invoice.lines[:5]
    for n, (sku, quantity, price) in enumerate(lines, start=1):
        line = {
            "order_line_id": f"{order_id}-{n}",
            "order_id": order_id,
            "line_no": n,
            "sku": sku,
            "quantity": quantity,
            "unit_price": price,
        }
        yield Step(at, "insert", "order_lines", line)
    for status, mean_hours in (("paid", 3), ("shipped", 30), ("delivered", 60)):
        if dice.random() < 0.03:
            status = "cancelled"
        at += timedelta(seconds=60 + round(dice.expovariate(1 / (mean_hours * 3600))))
        yield Step(
            at,
            "update",
            "orders",
            {"order_id": order_id, "status": status, f"{status}_at": text(at)},
        )
        if status == "cancelled":
            return
        if status == "shipped":
            yield from _shipments(seed, order_id, at, lines)


def _shipments(
    seed: int, order_id: str, at: datetime, lines: Sequence[tuple[str, int, str]]
) -> Iterator[Step]:
    for n, (sku, quantity, _) in enumerate(lines, start=1):
        stores = stocking_stores(seed, sku)
        if stores:
            row = {
                "movement_id": f"S-{order_id}-{n}",
                "store_id": stores[0],
                "sku": sku,
                "quantity": -quantity,
                "kind": "shipment",
                "moved_at": text(at),
            }
            yield Step(at, "insert", "stock_movements", row)
