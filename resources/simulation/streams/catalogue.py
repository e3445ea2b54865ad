"""The catalogue: the stores, products and people that the events are about.

It is read from the simulated source systems, so that the platform knows them all after the main
job: from the order and rewards databases; while those are empty, from the first invoice file that
has landed, else from the sample that the project ships.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from aquifer.errors import SettingError
from aquifer.landing import LandedFile, LandingFolder
from resources import order_database, rewards_database
from resources.simulation import lives, words
from resources.simulation.members import member_id
from resources.simulation.play import read_day
from resources.sqlite import connect, lacks

SAMPLE = Path(__file__).parents[3] / "data" / "online-retail"

PENNY = Decimal("0.01")


@dataclass(frozen=True)
class Catalogue:
    """What events are about: SKUs with list prices in pence, customer numbers."""

    stores: Sequence[str]
    products: Sequence[tuple[str, int]]
    customers: Sequence[str]
    members: Sequence[str]
    """Those customers who are in the rewards programme."""


def catalogue(orders: Path, rewards: Path, landing: LandingFolder, seed: int) -> Catalogue:
    """The catalogue of the source systems as they are now.

    Raises:
        SettingError: there is no product anywhere.
    """
    products = _rows(orders, order_database.TABLES, "select sku, list_price from products")
    if products:
        customers = _rows(orders, order_database.TABLES, "select customer_id from customers")
        members = _rows(rewards, rewards_database.TABLES, "select customer_id from members")
        return _sorted(
            ((sku, price) for sku, price in products),
            (customer for (customer,) in customers),
            (member for (member,) in members),
        )
    for folder in (landing, LandingFolder(SAMPLE, quiet_seconds=0)):
        found = _before_the_databases(folder.files(), seed)
        if found:
            return found
    raise SettingError(f"there is no product to sell; deliver invoice files to {landing.folder}")


def _before_the_databases(files: Iterable[LandedFile], seed: int) -> Catalogue | None:
    """What the databases will hold of the first file that names products."""
    for file in files:
        day = read_day(file)
        if day and day.skus and day.customers:
            first_steps = (next(lives.product(seed, sku)).row for sku in day.skus)
            return _sorted(
                ((row["sku"], row["list_price"]) for row in first_steps),
                (customer for customer in day.customers if lives.registered_at(seed, customer)),
                (customer for customer in day.customers if member_id(seed, customer)),
            )
    return None


def _sorted(
    products: Iterable[tuple[str, str]], customers: Iterable[str], members: Iterable[str]
) -> Catalogue:
    return Catalogue(
        stores=[store_id for store_id, *_ in words.STORES],
        products=sorted((sku, _pence(price)) for sku, price in products),
        customers=sorted(customers),
        members=sorted(members),
    )


def _pence(price: str) -> int:
    return int(Decimal(price).quantize(PENNY) * 100)


def _rows(path: Path, tables: Iterable[str], sql: str) -> list[tuple[str, ...]]:
    """The answer of a database; nothing of one that is not there yet."""
    if not path.exists():
        return []
    with closing(connect(path)) as connection:
        return [] if lacks(connection, tables) else connection.execute(sql).fetchall()
