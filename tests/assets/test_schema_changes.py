"""A schema that changes evolves the table or quarantines the rows; no column or row is dropped."""

import json
import shutil
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from worlds import HEADER, Invoices, MadeUp, Orders, add_phone, instant

from aquifer.contract import Contract, Date, Key, Timestamp, hours, table
from aquifer.dbt_project import DbtProject
from aquifer.dbt_properties import properties
from aquifer.errors import ContractError
from aquifer.gold import Gold
from aquifer.silver import mirror
from aquifer.silver_table import SilverTable
from assets import tables
from assets.bronze.stores import stores as bronze_stores

DIM_STORE = "gold.dim_store"
METADATA = table(owner="team:stores", grain="a store", fresh_within=hours(26))
LINE = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"
OTHER = "536366,85123A,HOLDER,6,2010-12-01 08:28:00,2.55,17850,United Kingdom"


class StoreWithPhone(Contract):
    """A store, since its database has a telephone number."""

    store_id: str = Key()
    phone: str | None
    name: str
    city: str
    country: str
    opened_on: Date

    class Config:
        metadata = METADATA


class StoreWithoutCity(Contract):
    """A store, of which the city is not told any more."""

    store_id: str = Key()
    name: str
    country: str
    opened_on: Date

    class Config:
        metadata = METADATA


class StoreOpenedAsToldByIt(Contract):
    """A store, of which the day of its opening is any text."""

    store_id: str = Key()
    opened_on: str

    class Config:
        metadata = METADATA


class Shop(Orders):
    """A world with the stores of the order database."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.write("insert into stores values ('s1', 'First', 'Leeds', 'UK', '2010-01-01')")

    def take_in_by(self, table: SilverTable) -> None:
        """Take what is new into silver as this definition of the table says."""
        bronze_stores.advance(self.lake, self.log)
        assert table.advance(self.runtime).accounted

    def stores(self) -> dict[str, dict[str, Any]]:
        return {row["store_id"]: row for row in self.rows("silver.stores")}


@pytest.fixture
def shop(tmp_path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def files(tmp_path) -> Invoices:
    return Invoices(tmp_path)


def test_a_column_that_a_file_has_in_addition_is_kept_beside_the_row(files):
    files.land("2010-12-01.csv", HEADER, LINE)
    assert files.take_in().accounted
    wider = HEADER.replace("Quantity", "Till,Quantity")
    files.land("2010-12-02.csv", wider, OTHER.replace("HOLDER", "HOLDER,t7"))
    assert files.take_in().accounted
    received = {row["_file"]: row for row in files.rows("bronze.invoice_lines")}
    assert json.loads(received["2010-12-02.csv"]["_extra"]) == {"Till": "t7"}
    assert received["2010-12-01.csv"]["_extra"] is None
    assert received["2010-12-02.csv"]["Quantity"] == "6"
    lines = files.rows("silver.invoice_lines")
    assert sorted((row["invoice_no"], row["quantity"]) for row in lines) == [
        ("536365", 6),
        ("536366", 6),
    ]


def test_a_column_that_a_refused_row_has_in_addition_is_in_the_quarantine(files):
    wider = f"{HEADER},Till"
    files.land("2010-12-01.csv", wider, f"{LINE.replace(',6,', ',six,')},t7")
    assert files.take_in().accounted
    (refused,) = files.rows("silver.invoice_lines_quarantine")
    assert json.loads(json.loads(refused["raw"])["_extra"]) == {"Till": "t7"}


def test_a_column_that_a_database_gains_is_received_and_no_row_is_lost(shop):
    shop.take_in("silver.stores")
    add_phone(shop.log.path)
    shop.write(
        "insert into stores (store_id, name, city, country, opened_on, phone) "
        "values ('s2', 'Second', 'York', 'UK', '2011-01-01', '0123')",
        "update stores set phone = '0456' where store_id = 's1'",
        "delete from stores where store_id = 's1'",
    )
    shop.take_in("silver.stores")
    events = [json.loads(row["value"]) for row in shop.rows("bronze.stores")]
    images = [event["after"] or event["before"] for event in events]
    assert sorted(str(image.get("phone")) for image in images) == ["0123", "0456", "0456", "None"]
    held = shop.stores()
    assert {key: row["name"] for key, row in held.items()} == {"s1": "First", "s2": "Second"}
    assert {key: row["_deleted"] for key, row in held.items()} == {"s1": True, "s2": False}


def test_a_contract_that_gains_a_column_evolves_the_table(shop):
    shop.take_in("silver.stores")
    add_phone(shop.log.path)
    shop.write(
        "insert into stores (store_id, name, city, country, opened_on, phone) "
        "values ('s2', 'Second', 'York', 'UK', '2011-01-01', '0123')"
    )
    before = shop.stores()["s1"]
    shop.take_in_by(mirror("stores", StoreWithPhone, reads=bronze_stores))
    assert shop.stores()["s1"] == {**before, "phone": None}
    assert shop.stores()["s2"]["phone"] == "0123"
    # The contract of before, as an older process has it, goes on working.
    shop.write("update stores set city = 'Hull' where store_id = 's2'")
    shop.take_in("silver.stores")
    assert (shop.stores()["s2"]["city"], shop.stores()["s2"]["phone"]) == ("Hull", "0123")


def test_a_contract_that_loses_a_column_keeps_it_in_the_table(shop):
    shop.take_in("silver.stores")
    before = shop.stores()["s1"]
    shop.write("insert into stores values ('s2', 'Second', 'York', 'UK', '2011-01-01')")
    narrower = mirror("stores", StoreWithoutCity, reads=bronze_stores)
    shop.take_in_by(narrower)
    assert shop.stores()["s1"] == before
    assert (shop.stores()["s2"]["name"], shop.stores()["s2"]["city"]) == ("Second", None)
    shop.write("update stores set name = 'Best' where store_id = 's1'")
    shop.take_in_by(narrower)
    assert (shop.stores()["s1"]["name"], shop.stores()["s1"]["city"]) == ("Best", "Leeds")


def test_a_contract_that_changes_a_type_is_refused_before_anything_is_written(shop):
    shop.take_in("silver.stores")
    before = shop.rows("silver.stores")
    shop.write("insert into stores values ('s2', 'Second', 'York', 'UK', 'soon')")
    with pytest.raises(ContractError, match=r"silver\.stores\.opened_on is .*string.* and .*date"):
        shop.take_in_by(mirror("stores", StoreOpenedAsToldByIt, reads=bronze_stores))
    assert shop.rows("silver.stores") == before
    shop.take_in("silver.stores")
    assert len(shop.rows("silver.stores_quarantine")) == 1


def test_a_value_of_another_type_is_quarantined_and_the_row_keeps_its_state(shop):
    shop.take_in("silver.stores")
    shop.write(
        "update stores set opened_on = 'soon' where store_id = 's1'",
        "insert into stores values ('s2', 'Second', 'York', 'UK', 20110101)",
        "insert into stores values ('s3', 'Third', 'Bath', 'UK', '2011-01-01')",
    )
    shop.take_in("silver.stores")
    refused = shop.rows("silver.stores_quarantine")
    assert {json.loads(row["raw"])["after"]["store_id"] for row in refused} == {"s1", "s2"}
    assert all("opened_on_unreadable" in row["reasons"] for row in refused)
    assert {key: row["opened_on"].isoformat() for key, row in shop.stores().items()} == {
        "s1": "2010-01-01",
        "s3": "2011-01-01",
    }


class DimStoreEvolved(Contract):
    """A version of a store, with the day of its opening and without its city."""

    store_key: str = Key()
    store_id: str
    opened_on: Date | None
    name: str | None
    country: str | None
    valid_from: Timestamp
    valid_to: Timestamp
    is_current: bool
    is_deleted: bool

    class Config:
        metadata = table(
            owner="team:stores",
            grain="a version of a store",
            fresh_within=hours(26),
            versions_of="store_id",
        )


def evolved(folder: Path) -> Gold:
    """Gold, after its stores have gained one column and lost another."""
    shutil.copytree(tables.gold.project.folder, folder, ignore=shutil.ignore_patterns("target"))
    contracts = {**tables.gold.contracts, DIM_STORE: DimStoreEvolved}
    silver = {table.name: table.contract for table in tables.silver}
    (folder / "models" / "properties.yml").write_text(properties(silver, contracts))
    model = folder / "models" / "gold" / "dim_store.sql"
    query = model.read_text()
    for city, opened in (
        ("'name', 'city'", "'name', 'opened_on'"),
        ("c.city,", "c.opened_on,"),
    ):
        assert query.count(city) == 1
        query = query.replace(city, opened)
    model.write_text(query)
    return Gold(DbtProject(folder, folder / "target"), contracts)


def test_a_gold_table_evolves_with_its_contract(tmp_path):
    world = MadeUp(tmp_path)
    leeds = store_change("s1", "Leeds")
    world.put("silver.store_changes", leeds)
    assert world.build(DIM_STORE) == []
    before = {row["store_id"]: row for row in world.rows(DIM_STORE)}
    world.put("silver.store_changes", leeds, store_change("s2", "York"))
    world.gold = evolved(tmp_path / "dbt")
    assert world.build(DIM_STORE) == []
    after = {row["store_id"]: row for row in world.rows(DIM_STORE)}
    assert after["s1"]["city"] == "Leeds"
    assert after["s1"]["store_key"] == before["s1"]["store_key"]
    assert (after["s2"]["name"], after["s2"]["city"]) == ("S", None)
    assert after["s2"]["opened_on"] == date(2010, 1, 1)
    assert after.keys() == {"s1", "s2", "unknown"}
    # The model of before, as an older process has it, goes on working.
    world.gold = tables.gold
    world.put("silver.store_changes", store_change("s3", "Hull"))
    assert world.build(DIM_STORE) == []
    latest = {row["store_id"]: row for row in world.rows(DIM_STORE)}
    assert latest["s2"]["opened_on"] == date(2010, 1, 1)
    assert latest["s3"]["city"] == "Hull"


def store_change(identity: str, city: str) -> dict[str, Any]:
    return {
        "store_id": identity,
        "changed_at": instant("2011-01-01"),
        "name": "S",
        "city": city,
        "country": "EIRE",
        "opened_on": date(2010, 1, 1),
        "is_deleted": False,
    }
