"""Made-up demand: products that sell by turns, whose weeks to come can be known."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from worlds import MadeUp

from aquifer.contract import arrow_schema
from aquifer.daily import Days
from assets import snapshots
from assets.features.product_demand import product_demand
from assets.gold.fct_inventory import FctInventory
from resources.online_store import OnlineStoreResource

FIRST_MONDAY = date(2011, 1, 3)
LAST_SUNDAY = FIRST_MONDAY + timedelta(days=7 * 34 - 1)
HIGH, LOW = 40, 8
"""The mean units of a product's weeks, which take turns."""


def is_high(product: int, week: int) -> bool:
    """Whether a week is one of the high ones of a product."""
    return (product + week) % 2 == 0


def line(code: str, on: date, units: int, n: int = 0, **values: Any) -> dict[str, Any]:
    """An invoice line."""
    price = values.pop("unit_price", 2)
    return {
        "line_id": f"{code}/{on}/{n}",
        "invoice_no": f"{500000 + n}",
        "stock_code": code,
        "description": code,
        "quantity": units,
        "unit_price": price,
        "customer_id": f"{12000 + n}",
        "country": "United Kingdom",
        "invoiced_at": datetime(on.year, on.month, on.day, 10, n % 60, tzinfo=UTC),
        "net_amount": units * price,
        "line_type": "sale",
        **values,
    }


def by_turns(products: int, *, weeks: int = 34, seed: int = 5) -> list[dict[str, Any]]:
    """Two lines a week of each product."""
    chance = np.random.default_rng(seed)
    lines = []
    for product in range(products):
        for week in range(weeks):
            units = int(chance.poisson(HIGH if is_high(product, week) else LOW)) + 2
            for n, part in enumerate((units // 2, units - units // 2)):
                on = FIRST_MONDAY + timedelta(days=7 * week + 1 + 2 * n)
                lines.append(line(f"{10000 + product}", on, part, 30 * n + product % 30))
    return lines


class Demand(MadeUp):
    """A world with sales, their features, and what orders are planned by."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.online = OnlineStoreResource(url=str(folder / "online.db")).store

    def compute(self, first: date = snapshots.FIRST_DAY, last: date = date(2012, 1, 1)) -> None:
        """Compute the features of some days."""
        days = Days(first, last)
        product_demand.advance(self.runtime, self.online, days, snapshots.FIRST_DAY)

    def features(self, day: date | None = None) -> dict[tuple[date, str], dict[str, Any]]:
        """The features of all days or one, by day and product."""
        return {
            (row["day"], row["stock_code"]): {k: v for k, v in row.items() if k != "_seq"}
            for row in self.rows(product_demand.name)
            if day is None or row["day"] == day
        }

    def stock(self, on: date, pieces: dict[str, int]) -> None:
        """Let a store have pieces at the end of a day."""
        rows = [
            {
                **{"day": on, "store_id": "S01", "stock_code": code, "on_hand": count},
                **{"date_key": 1, "store_key": "-", "product_key": "-"},
            }
            for code, count in pieces.items()
        ]
        schema = arrow_schema(FctInventory)
        self.lake.ensure("gold.fct_inventory", schema, ["day"])
        self.lake.append("gold.fct_inventory", pa.Table.from_pylist(rows, schema), {})
