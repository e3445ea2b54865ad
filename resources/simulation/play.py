"""Playing the simulation: from the invoice files that have landed into both databases."""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path

from aquifer.delimited import read_delimited
from aquifer.errors import SourceError
from aquifer.instants import micros
from aquifer.landing import LandedFile
from resources import order_database, rewards_database
from resources.simulation import lives, members, schedule, words
from resources.simulation.lives import Invoice
from resources.simulation.schedule import Step, enrol, play, remember, unknown
from resources.sqlite import connect, transaction

USED = ["InvoiceNo", "StockCode", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID"]
COLUMNS = [*USED, "Description", "Country"]
SKU = re.compile(r"^[0-9]{5}[A-Z]{0,2}$")
SEED = 17
"""Of everything that is simulated, unless a test wants another world."""

LARGEST = 10**8
"""Quantities and prices from here on are mistakes."""


@dataclass(frozen=True)
class Day:
    """What the simulation learns from one invoice file."""

    customers: list[str]
    skus: list[str]
    invoices: list[Invoice]
    end: datetime


@dataclass(frozen=True)
class Simulation:
    """The order and rewards databases, driven by the invoice files."""

    orders: Path
    rewards: Path
    seed: int = SEED

    def advance(self, files: Iterable[LandedFile]) -> dict[str, int]:
        """Play both databases up to the latest landed day; how many writes each took.

        A file counts once, by its first delivery that could be read, and is let go before the next.
        Each database advances in one transaction.
        """
        with _advancing(self.rewards, rewards_database.create_tables) as rewards:
            with _advancing(self.orders, order_database.create_tables) as orders:
                end = self._enrol_days(files, {orders: self._shop, rewards: self._programme})
                ordered = play(orders, end[orders])
            earned = play(rewards, end[rewards], "recorded_at")
        return {"order_database": ordered, "rewards_database": earned}

    @staticmethod
    def _enrol_days(
        files: Iterable[LandedFile],
        databases: Mapping[sqlite3.Connection, Callable[[sqlite3.Connection, Day], None]],
    ) -> dict[sqlite3.Connection, int]:
        """Enrol each day in the databases to which its file is new; until when each is to play."""
        end = dict.fromkeys(databases, 0)
        for file in files:
            name = f"file/{file.name}"
            fresh = [connection for connection in databases if unknown(connection, [name])]
            day = read_day(file) if fresh else None
            if day is None:
                continue
            for connection in fresh:
                databases[connection](connection, day)
                remember(connection, [name])
                end[connection] = max(end[connection], micros(day.end))
        return end

    def _shop(self, connection: sqlite3.Connection, day: Day) -> None:
        kinds: list[tuple[str, Iterable[str], Callable[[str], Iterator[Step]]]] = [
            ("store", [store[0] for store in words.STORES], lambda e: lives.store(self.seed, e)),
            ("region", words.REGIONS, lives.region),
            ("customer", day.customers, lambda e: lives.customer(self.seed, e)),
            ("product", day.skus, lambda e: lives.product(self.seed, e)),
            ("stock", day.skus, lambda e: lives.stock(self.seed, e)),
        ]
        for kind, entities, life in kinds:
            self._enrol(connection, kind, entities, life)
        by_number = {invoice.invoice_no: invoice for invoice in day.invoices}
        self._enrol(connection, "order", by_number, lambda e: lives.order(self.seed, by_number[e]))

    def _programme(self, connection: sqlite3.Connection, day: Day) -> None:
        self._enrol(connection, "member", day.customers, lambda e: members.member(self.seed, e))
        by_number = {invoice.invoice_no: invoice for invoice in day.invoices}
        self._enrol(
            connection, "points", by_number, lambda e: members.points(self.seed, by_number[e])
        )

    @staticmethod
    def _enrol(
        connection: sqlite3.Connection,
        kind: str,
        entities: Iterable[str],
        life: Callable[[str], Iterator[Step]],
    ) -> None:
        named = unknown(connection, [f"{kind}/{entity}" for entity in entities])
        enrol(connection, {entity: life(entity.split("/", 1)[1]) for entity in named})


@contextmanager
def _advancing(
    path: Path, create_tables: Callable[[sqlite3.Connection], None]
) -> Iterator[sqlite3.Connection]:
    """A database with all its tables, in a transaction."""
    with closing(connect(path)) as connection:
        create_tables(connection)
        connection.executescript(schedule.TABLES)
        with transaction(connection):
            yield connection


def read_day(file: LandedFile) -> Day | None:
    """What a file tells the simulation; None for one that cannot be read or holds no time.

    The platform's own ingestion names what is wrong with such a file.
    """
    try:
        rows = read_delimited(file.content, file.name, COLUMNS)
    except SourceError:
        return None
    customers: set[str] = set()
    skus: set[str] = set()
    lines: dict[tuple[str, str, datetime], list[tuple[str, int, str]]] = defaultdict(list)
    latest: datetime | None = None
    for number, code, quantity, when, price, customer in zip(
        *(rows[column].to_pylist() for column in USED), strict=True
    ):
        at = _instant(when)
        if at is None:
            continue
        latest = max(latest or at, at)
        sku, customer_id = _sku(code), _customer(customer)
        if sku:
            skus.add(sku)
        if not customer_id:
            continue
        customers.add(customer_id)
        line = _line(sku, quantity, price)
        if line and (number or "").strip().isdecimal():
            lines[(number or "").strip(), customer_id, at].append(line)
    if latest is None:
        return None
    end = latest.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    invoices = [Invoice(*head, lines=body) for head, body in sorted(lines.items())]
    return Day(sorted(customers), sorted(skus), invoices, end)


# Cached, as each value comes in many lines.


@lru_cache(maxsize=4096)
def _instant(text: str | None) -> datetime | None:
    try:
        at = datetime.fromisoformat((text or "").strip())
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    # What follows from an invoice in the last year would happen after the last instant there is.
    return at if at.year < MAXYEAR else None


@lru_cache(maxsize=8192)
def _sku(code: str | None) -> str | None:
    sku = (code or "").strip().upper()
    return sku if SKU.match(sku) else None


@lru_cache(maxsize=8192)
def _customer(text: str | None) -> str | None:
    customer_id = (text or "").strip().removesuffix(".0")
    return customer_id.lstrip("0") or "0" if customer_id.isdecimal() else None


@lru_cache(maxsize=65_536)
def _line(sku: str | None, quantity: str | None, price: str | None) -> tuple[str, int, str] | None:
    try:
        pieces, amount = Decimal((quantity or "").strip()), Decimal((price or "").strip())
        if not sku or not 1 <= pieces < LARGEST or not 0 < amount < LARGEST:
            return None
    except InvalidOperation:
        return None
    return sku, int(pieces), str(amount)
