"""A customer has one number, however a source writes it."""

import hashlib
from contextlib import closing
from pathlib import Path

import pytest
from worlds import HEADER, World, land

from aquifer.lake import Lake
from aquifer.landing import LandingFolder
from assets import tables
from resources import order_database, rewards_database
from resources.order_database import OutboxEventLog
from resources.rewards_database import RewardsExtracts
from resources.sqlite import connect

TABLES = ["invoice_lines", "customers", "customer_changes", "orders", "members"]
WRITTEN = ["17850", "017850", "17850.0", " 0017850 "]


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> Lake:
    """Rows of one customer in every table that names customers, each written its way."""
    folder = tmp_path_factory.mktemp("numbers")
    world = World(folder)
    write_databases(folder)
    landing = LandingFolder(folder / "landing")
    numbers = [*WRITTEN, "000", "", "-17850"]
    lines = [f"536365,10001,MUG,6,2010-12-01 08:26:00,2.55,{n},EIRE" for n in numbers]
    land(landing, "a.csv", HEADER, *lines)
    sources = {
        "landing": landing,
        "orders": OutboxEventLog(folder / "orders.db"),
        "rewards": RewardsExtracts(folder / "rewards.db"),
    }
    for table in tables.silver:
        if table.name.split(".")[1] in TABLES:
            table.reads.advance(world.lake, sources[table.reads.resource])
            assert table.advance(world.runtime).accounted
    return world.lake


def write_databases(folder: Path) -> None:
    with closing(connect(folder / "orders.db")) as connection:
        order_database.create_tables(connection)
        for at, number in enumerate(WRITTEN):
            connection.execute("update clock set ts_us = ?", [1_300_000_000_000_000 + at])
            connection.execute(
                "insert into customers values (?, ?, null, null, null, null, 'EIRE')",
                [number, f"name {at}"],
            )
            connection.execute(
                "insert into orders (order_id, customer_id, store_id, status, placed_at, currency) "
                "values (?, ?, 'S1', 'placed', '2010-12-01 08:00:00', 'GBP')",
                [f"O{at}", number],
            )
    with closing(connect(folder / "rewards.db")) as connection:
        rewards_database.create_tables(connection)
        connection.execute("update clock set ts_us = 1300000000000000")
        for at, number in enumerate(WRITTEN):
            connection.execute(
                "insert into members values (?, ?, 'active', '2010-12-01', '2010-12-01 08:00:00')",
                [f"M{at}", number],
            )


@pytest.mark.parametrize(
    ("table", "rows"), [("orders", 4), ("members", 4), ("customers", 1), ("customer_changes", 4)]
)
def test_a_customer_is_one_in_every_table(lake, table, rows):
    found = lake.read(f"silver.{table}").to_pylist()
    assert [row["customer_id"] for row in found] == ["17850"] * rows


def test_of_several_rows_of_a_customer_the_latest_counts(lake):
    assert lake.read("silver.customers")["name"].to_pylist() == ["name 3"]


def test_lines_that_differ_in_how_the_number_is_written_are_one(lake):
    lines = {row["customer_id"]: row for row in lake.read("silver.invoice_lines").to_pylist()}
    assert lines.keys() == {"17850", "0", None}
    values = "536365", "10001", "MUG", "6", "2010-12-01 08:26:00", "2.5500", "17850", "EIRE"
    assert lines["17850"]["line_id"] == hashlib.sha256("\1".join(values).encode()).hexdigest()


def test_what_is_no_number_is_refused(lake):
    refused = lake.read("silver.invoice_lines_quarantine").to_pylist()
    assert [row["reasons"] for row in refused] == [["customer_id_str_matches"]]
