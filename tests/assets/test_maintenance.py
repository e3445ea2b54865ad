"""Maintenance keeps the lake small and changes no answer."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from worlds import DIMENSIONS, HEADER, Invoices

from assets.bronze.invoice_lines import invoice_lines as bronze_lines
from assets.definitions import defs
from assets.silver.invoice_lines import invoice_lines

BRONZE, SILVER = "bronze.invoice_lines", "silver.invoice_lines"
GOLD = [*DIMENSIONS, "gold.fct_sales", "gold.daily_sales"]
DAYS = 4


def lines(day: int, quantity: int) -> list[str]:
    """A day's file: two sales and a line that is refused."""
    at, number = f"2010-12-{day:02} 08:26:00", 536365 + 10 * day
    return [
        HEADER,
        f"{number},85123A,HOLDER,{quantity},{at},2.55,17850,United Kingdom",
        f"{number},71053,LANTERN,1,{at},3.39,17850,United Kingdom",
        f"{number + 1},71053,LANTERN,one,{at},3.39,17850,United Kingdom",
    ]


class Shop(Invoices):
    """A world of invoice files that arrive one by one, each taken in before the next."""

    def land_day(self, day: int, quantity: int = 6) -> None:
        self.land(f"2010-12-{day:02}.csv", *lines(day, quantity))

    def arrivals(self) -> int:
        """Take in what has landed; how many rows arrived."""
        arrived = bronze_lines.advance(self.lake, self.landing).rows_in
        assert invoice_lines.advance(self.runtime).accounted
        return arrived

    def maintain(self, **config: Any) -> None:
        done = defs.resolve_job_def("maintain").execute_in_process(
            run_config={"ops": {"maintain_tables": {"config": config}}},
            resources={"lake": self.lake_resource},
        )
        assert done.success

    def everything(self) -> dict[str, list[dict]]:
        """Every row of every table, with the columns of the platform, in any order."""
        return {name: sorted(self.rows(name), key=repr) for name in self.lake.names()}

    def files(self, name: str) -> list[str]:
        return sorted(self.lake.table(name).file_uris())

    @contextmanager
    def untouched(self, *but: str) -> Iterator[None]:
        """All tables hold the same afterwards, but those named."""
        before = self.everything()
        yield
        after = self.everything()
        for name in before.keys() - set(but):
            assert after[name] == before[name], name


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("maintenance"))
    for day in range(1, DAYS + 1):
        shop.land_day(day)
        shop.arrivals()
        if day % 2 == 0:
            assert shop.build(*GOLD) == []
    return shop


def test_compaction_sorting_and_vacuum_change_no_row(shop):
    orphan = Path(shop.lake.uri(SILVER)) / "part-of-a-killed-writer.parquet"
    orphan.write_bytes(b"")
    long_ago = (datetime.now(UTC) - timedelta(days=31)).timestamp()
    os.utime(orphan, (long_ago, long_ago))
    names = (BRONZE, SILVER, "gold.fct_sales")
    versions = {name: shop.lake.version(name) for name in names}
    with shop.untouched():
        shop.maintain(cluster=False)
    assert [len(shop.files(name)) for name in names] == [1, 1, 1]
    assert not orphan.exists()
    shop.land_day(10)
    assert shop.arrivals() == 3
    with shop.untouched():
        shop.maintain(cluster=True)
    assert [len(shop.files(name)) for name in names] == [1, 1, 1]
    for name, version in versions.items():
        assert shop.lake.table(name, version).to_pyarrow_table().num_rows >= 2 * DAYS
    assert shop.build(*GOLD) == []
    # Nobody has anything to do, and nothing is lost of how far each has come.
    with shop.untouched():
        assert shop.arrivals() == 0
        assert shop.build(*GOLD) == []


def test_bronze_is_kept_from_its_ingestion_on_not_from_its_business_date(shop):
    ingested = datetime.now(UTC) - timedelta(days=91)
    shop.lake.table(BRONZE).update(
        predicate="_file = '2010-12-01.csv'",
        updates={"_ingested_at": f"timestamp '{ingested.isoformat()}'"},
    )
    with shop.untouched(BRONZE):
        shop.maintain()
    held = {row["_file"] for row in shop.rows(BRONZE)}
    assert "2010-12-01.csv" not in held
    assert {"2010-12-02.csv", "2010-12-03.csv"} <= held


def test_bronze_rows_that_silver_lacks_outlive_their_time(shop):
    shop.land_day(21)
    assert bronze_lines.advance(shop.lake, shop.landing).rows_in == 3
    shop.maintain(bronze_days=0)
    assert {row["_file"] for row in shop.rows(BRONZE)} == {"2010-12-21.csv"}
    assert invoice_lines.advance(shop.runtime).rows_in == 3
    assert shop.build(*GOLD) == []


def test_silver_and_gold_outlive_bronze(shop):
    with shop.untouched(BRONZE):
        shop.maintain(bronze_days=0)
        assert shop.rows(BRONZE) == []
        # What was taken in before is not taken for new.
        assert shop.arrivals() == 0
        assert shop.build(*GOLD) == []
    content = shop.content(*GOLD)
    assert shop.build(*GOLD, full_refresh=True) == []
    assert shop.content(*GOLD) == content
    # A file of which bronze has forgotten the rows is superseded all the same.
    shop.land_day(2, quantity=7)
    assert shop.arrivals() == 3
    assert shop.build(*GOLD) == []
    sold = {
        row["quantity"]
        for row in shop.rows(SILVER)
        if row["invoice_no"] == "536385" and not row["_deleted"]
    }
    assert sold == {1, 7}
