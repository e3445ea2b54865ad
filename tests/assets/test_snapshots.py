"""Stock snapshots: which days are out of date, and that building them is as a full refresh."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from worlds import MadeUp, Orders, World, instant

from assets import snapshots

SNAPSHOT = snapshots.SNAPSHOT


class Snapshots(World):
    """A world in which snapshots are taken."""

    def build_dimensions(self) -> None:
        assert self.build(*snapshots.DIMENSIONS) == []

    def touched(self) -> tuple[str, str] | None:
        days = snapshots.touched_days(self.lake)
        return (days[0].isoformat(), days[1].isoformat()) if days else None

    def snapshot(self, first: str, last: str, *, full_refresh: bool = False) -> None:
        failures = self.build(SNAPSHOT, full_refresh=full_refresh, first_day=first, last_day=last)
        assert failures == []

    def catch_up(self) -> None:
        """Build the days that are out of date, and see that all would give the same."""
        touched = self.touched()
        assert touched
        self.snapshot(*touched)
        assert self.touched() is None
        incremental = self.content(SNAPSHOT)
        first, last = snapshots.all_days(self.lake)
        self.snapshot(first.isoformat(), last.isoformat(), full_refresh=True)
        assert self.content(SNAPSHOT) == incremental

    def on_hand(self, store: str = "s1", product: str = "10001") -> dict[str, int]:
        return {
            row["day"].isoformat(): row["on_hand"]
            for row in self.rows(SNAPSHOT)
            if (row["store_id"], row["stock_code"]) == (store, product)
        }

    def city_of(self, day: str, store: str = "s1") -> str | None:
        city = {row["store_key"]: row["city"] for row in self.rows("gold.dim_store")}
        (held,) = (
            row
            for row in self.rows(SNAPSHOT)
            if (row["day"], row["store_id"]) == (date.fromisoformat(day), store)
        )
        return city[held["store_key"]]


class Stock(Snapshots, MadeUp):
    """Made-up silver tables of stores, products and movements."""


class Counted(Snapshots, Orders):
    """Movements in the order database."""

    def move(self, *statements: str) -> None:
        """Change the movements in the database, and take each change in by itself."""
        for statement in statements:
            self.write(statement)
            self.take_in(snapshots.MOVEMENTS)


def moved(number: str, day: str, quantity: int, **other: Any) -> dict[str, Any]:
    return {
        "movement_id": number,
        "store_id": "s1",
        "sku": "10001",
        "quantity": quantity,
        "kind": "receipt",
        "moved_at": instant(f"{day} 09:00"),
        **other,
    }


def store(at: str, city: str, identity: str = "s1") -> dict[str, Any]:
    return {
        "store_id": identity,
        "changed_at": instant(at),
        "name": "S",
        "city": city,
        "country": "EIRE",
        "opened_on": date(2010, 1, 1),
        "is_deleted": False,
    }


def product(sku: str) -> dict[str, Any]:
    return {
        "sku": sku,
        "name": "MUG",
        "category": "mugs",
        "list_price": Decimal(2),
        "cost": Decimal(1),
    }


@pytest.fixture
def stock(tmp_path) -> Stock:
    stock = Stock(tmp_path)
    stock.put("silver.store_changes", store("2010-12-01", "Leeds"))
    stock.put("silver.products", product("10001"))
    stock.put("silver.stock_movements", moved("a", "2010-12-02", 10), moved("b", "2010-12-05", -4))
    stock.build_dimensions()
    assert stock.touched() == ("2010-12-01", "2010-12-05")
    stock.snapshot("2010-12-01", "2010-12-05")
    return stock


def test_a_late_movement_makes_the_days_from_its_own_on_out_of_date(stock):
    assert stock.on_hand() == {
        "2010-12-02": 10,
        "2010-12-03": 10,
        "2010-12-04": 10,
        "2010-12-05": 6,
    }
    stock.put(
        "silver.stock_movements",
        moved("late", "2010-12-04", 1),
        moved("last", "2010-12-06", 1),
    )
    assert stock.touched() == ("2010-12-04", "2010-12-06")
    stock.put("silver.products", product("10009"))
    stock.build_dimensions()
    assert stock.touched() == ("2010-12-04", "2010-12-06")
    stock.catch_up()


def test_a_late_version_of_a_store_makes_its_days_out_of_date(stock):
    stock.put("silver.store_changes", store("2010-12-03", "York"))
    stock.build_dimensions()
    assert stock.touched() == ("2010-12-03", "2010-12-05")
    stock.catch_up()
    assert [stock.city_of(f"2010-12-0{day}") for day in (2, 3, 5)] == ["Leeds", "York", "York"]
    # Taken back, the version before it holds again on the days that it loses.
    stock.put("silver.store_changes", store("2010-12-03", "Leeds"))
    stock.build_dimensions()
    stock.catch_up()
    assert stock.city_of("2010-12-05") == "Leeds"


def test_a_store_and_a_product_that_become_known_make_their_days_out_of_date(stock):
    new = {"store_id": "s2", "sku": "10002"}
    stock.put("silver.stock_movements", moved("c", "2010-12-04", 5, **new))
    stock.catch_up()
    assert stock.city_of("2010-12-04", "s2") is None
    stock.put("silver.store_changes", store("2010-12-05", "Cork", "s2"))
    stock.build_dimensions()
    stock.catch_up()
    assert stock.city_of("2010-12-04", "s2") == "Cork"
    stock.put("silver.products", product("10002"))
    stock.build_dimensions()
    assert stock.touched() == ("2010-12-04", "2010-12-05")
    stock.catch_up()
    known = {row["product_key"] for row in stock.rows("gold.dim_product")}
    held = {row["product_key"] for row in stock.rows(SNAPSHOT) if row["store_id"] == "s2"}
    unknown = {
        row["product_key"]
        for row in stock.rows("gold.dim_product")
        if row["stock_code"] == "unknown"
    }
    assert held <= known - unknown


def test_building_some_days_leaves_the_others_out_of_date(stock):
    stock.put("silver.stock_movements", moved("late", "2010-12-03", 1))
    stock.snapshot("2010-12-05", "2010-12-05")
    assert stock.touched() == ("2010-12-03", "2010-12-05")
    stock.catch_up()
    assert stock.on_hand()["2010-12-04"] == 11


def test_nothing_is_out_of_date_before_there_are_dimensions_to_point_at(tmp_path):
    stock = Stock(tmp_path)
    stock.put("silver.stock_movements", moved("a", "2010-12-02", 10))
    assert stock.touched() is None


@pytest.fixture
def counted(tmp_path) -> Counted:
    counted = Counted(tmp_path)
    counted.make_silver()
    counted.build_dimensions()
    counted.move(
        *(
            f"insert into stock_movements values "
            f"('{number}', 's1', '10001', '{quantity}', 'receipt', '2010-12-0{day} 09:00:00')"
            for number, quantity, day in (("a", 1, 1), ("b", 5, 3), ("c", 7, 6))
        )
    )
    counted.catch_up()
    return counted


def reschedule(number: str, day: int) -> str:
    at = f"2010-12-0{day} 09:00:00"
    return f"update stock_movements set moved_at = '{at}' where movement_id = '{number}'"


def test_a_movement_that_is_moved_makes_the_days_from_where_it_was_out_of_date(counted):
    # Between two snapshots it goes further back than it ends up, too.
    counted.move(reschedule("b", 4), reschedule("b", 2), reschedule("b", 5))
    assert counted.touched() == ("2010-12-02", "2010-12-06")
    counted.catch_up()
    assert list(counted.on_hand().values()) == [1, 1, 1, 1, 6, 13]


def test_days_after_the_last_movement_have_no_snapshot(counted):
    counted.move(reschedule("c", 4))
    counted.catch_up()
    assert max(counted.on_hand()) == "2010-12-04"
    counted.move("delete from stock_movements where movement_id = 'c'")
    counted.catch_up()
    assert max(counted.on_hand()) == "2010-12-03"
    counted.move("delete from stock_movements")
    counted.snapshot(*counted.touched())
    assert counted.on_hand() == {}
    assert counted.touched() is None
