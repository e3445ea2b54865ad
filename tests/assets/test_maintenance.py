"""Maintenance keeps the lake small and changes no answer."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from dagster import DagsterInstance, build_sensor_context
from deltalake import DeltaTable
from worlds import DIMENSIONS, HEADER, Invoices, World

from aquifer import compaction
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


class Noted(World):
    """A world with one table, by month, to which small commits are made."""

    name = "silver.noted"
    schema = pa.schema([("key", pa.int64()), ("noise", pa.binary()), ("_month", pa.string())])

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.instance = DagsterInstance.ephemeral()
        self._cursor: str | None = None
        self.lake.ensure(self.name, self.schema, ["_month"])

    def note(self, month: str, count: int, octets: int = 100) -> None:
        """Commit rows, each with as much noise, which no compression makes smaller."""
        for key in range(count):
            row = {"key": [key], "noise": [os.urandom(octets)], "_month": [month]}
            self.lake.append(self.name, pa.Table.from_pydict(row, self.schema), {})

    def tick(self) -> bool:
        """Let the sensor look, and run what it asks for; whether it asks."""
        context = build_sensor_context(
            self.instance, cursor=self._cursor, resources={"lake": self.lake_resource}
        )
        (sensor,) = (sensor for sensor in defs.sensors if sensor.name == "small_files")
        asked = sensor.evaluate_tick(context)
        self._cursor = asked.cursor or self._cursor
        for _ in asked.run_requests:
            self.compact()
        return bool(asked.run_requests)

    def compact(self) -> None:
        job = defs.resolve_job_def("compact")
        assert job.execute_in_process(resources={"lake": self.lake_resource}).success

    def files(self, month: str) -> dict[str, int]:
        """The bytes of each file of a month."""
        files = pa.table(self.lake.table(self.name).get_add_actions(flatten=True)).to_pylist()
        return {f["path"]: f["size_bytes"] for f in files if f["partition._month"] == month}


@pytest.fixture
def noted(tmp_path) -> Noted:
    return Noted(tmp_path)


def test_many_small_commits_are_put_together_by_month_and_once(noted):
    noted.note("2010-12", compaction.SMALL_FILES)
    noted.note("2011-01", compaction.SMALL_FILES - 1)
    january, before = noted.files("2011-01"), noted.content(noted.name)
    reader = DeltaTable(noted.lake.uri(noted.name))
    assert noted.tick()
    assert len(noted.files("2010-12")) == 1
    assert noted.files("2011-01") == january
    assert noted.content(noted.name) == before
    # Who has opened the table before reads on.
    assert reader.to_pyarrow_table().num_rows == len(before[noted.name])
    version = noted.lake.version(noted.name)
    assert not noted.tick()
    noted.compact()
    assert noted.lake.version(noted.name) == version


def test_files_of_fair_size_are_not_written_anew_and_none_grows_too_large(noted, monkeypatch):
    monkeypatch.setattr(compaction, "TARGET_BYTES", 40_000)
    monkeypatch.setattr(compaction, "SMALL_BYTES", 10_000)
    noted.note("2010-12", compaction.SMALL_FILES, octets=15_000)
    assert not noted.tick()
    noted.note("2011-01", 3, octets=50_000)
    large = noted.files("2011-01")
    noted.note("2011-01", compaction.SMALL_FILES, octets=5_000)
    assert noted.tick()
    files = noted.files("2011-01")
    assert files.items() >= large.items()
    assert 4 <= len(files) - len(large) <= 8
    assert max(files[path] for path in files.keys() - large.keys()) <= 40_000
    assert not noted.tick()


def test_what_compaction_cannot_put_together_is_asked_for_once(noted, monkeypatch):
    monkeypatch.setattr(compaction, "TARGET_BYTES", 10_000)
    monkeypatch.setattr(compaction, "SMALL_BYTES", 10_000)
    noted.note("2010-12", compaction.SMALL_FILES, octets=7_000)
    assert noted.tick()
    assert not noted.tick()
    noted.note("2010-12", 1, octets=7_000)
    assert noted.tick()


def test_tables_of_streams_are_left_to_them_until_the_night(noted):
    noted.note("2010-12", 5)
    noted.lake.compact(noted.name)
    noted.note("2010-12", compaction.SMALL_FILES)
    assert not noted.tick()


def test_merges_and_compactions_at_once_lose_nothing(noted):
    keys = 3 * compaction.SMALL_FILES

    def merge() -> None:
        for key in range(keys):
            row = {"key": [key], "noise": [b"merged"], "_month": ["2010-12"]}
            with noted.lake.lease([noted.name]):
                noted.lake.merge(
                    noted.name,
                    pa.Table.from_pydict(row, noted.schema),
                    ["key"],
                    "t._month = '2010-12'",
                    {},
                )

    noted.note("2010-12", compaction.SMALL_FILES)
    with ThreadPoolExecutor(1) as pool:
        merging = pool.submit(merge)
        while not merging.done():
            noted.compact()
        merging.result()
    operations = [entry["operation"] for entry in noted.lake.table(noted.name).history()]
    assert operations.count("OPTIMIZE") > 1
    rows = noted.rows(noted.name)
    assert sorted(row["key"] for row in rows) == list(range(keys))
    assert {row["noise"] for row in rows} == {b"merged"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory) -> Shop:
    shop = Shop(tmp_path_factory.mktemp("maintenance"))
    for day in range(1, DAYS + 1):
        shop.land_day(day)
        shop.arrivals()
        if day % 2 == 0:
            assert shop.build(*GOLD) == []
    return shop


def test_compaction_sorting_and_vacuum_change_no_row(shop, monkeypatch):
    monkeypatch.setattr(compaction, "SMALL_FILES", 2)
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
    sorted_files = [shop.files(name) for name in names]
    shop.maintain(cluster=True)
    assert [shop.files(name) for name in names] == sorted_files
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
