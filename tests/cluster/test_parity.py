"""Both engines leave the same tables: row for row, whatever is killed, made anew or mixed.

Two homes take in the same, one on the embedded engine alone. Each test goes on with what the last
one left; whichever are run, the homes are the same before and afterwards.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import chaos
import progress
import pytest
from conftest import PROJECT, Home, Nursery, copy_of, invoice_files, start
from ups import until
from worlds import add_phone

from aquifer.maintenance import maintain_table
from aquifer.quarantine import quarantine_name
from deploy.servers import SparkConnect
from resources.sqlite import connect, transaction

EVENTS = 320
CHANGES = (
    "update stores set name = 'O''Connell', phone = '+353' where store_id = "
    "(select min(store_id) from stores)",
    "delete from customers where customer_id = (select max(customer_id) from customers)",
    "delete from order_lines where order_line_id = (select max(order_line_id) from order_lines)",
)
"""Of the order database, after stores have been given a column."""

HELD_ON_ANY_ENGINE = (
    "test_order_tables.py",
    "test_schema_changes.py::test_a_gold_table_evolves_with_its_contract",
    "test_till_features.py",
    "test_features.py::test_a_point_in_time_join_finds_the_latest_known_features_and_no_planted_leak",
)
"""Tests of the embedded engine that have to hold on Spark as they are."""

FAILS = """
from pyspark.errors import PySparkException
from resources.environment import resources

try:
    resources()["engine"].spark_session.sql("select * from missing").collect()
except PySparkException as error:
    print(error)
"""


class Pair:
    """Two homes that take in the same: `stays` on the embedded engine, `moves` on either.

    Args:
        days: invoice files that neither has yet.
    """

    def __init__(self, nursery: Nursery, stays: Home, moves: Home, days: Sequence[Path]) -> None:
        self.nursery, self.stays, self.moves = nursery, stays, moves
        self._days = iter(days)

    def next_day(self) -> Path:
        """A file that the home which stays has taken in, and the other has not."""
        file = next(self._days)
        assert self.nursery.work(self.stays, [[file]]) == 0
        return file

    def change_orders(self) -> None:
        """Change the order database, which gains a column meanwhile."""
        for home in (self.stays, self.moves):
            database = home.folder / "sources" / "orders.db"
            add_phone(database)
            with closing(connect(database)) as connection, transaction(connection):
                for statement in CHANGES:
                    connection.execute(statement)

    def maintain(self) -> None:
        """Compact and vacuum every table."""
        for home in (self.stays, self.moves):
            for name in home.lake.names():
                maintain_table(home.lake, name, (), bronze_days=365)

    def compare(self) -> None:
        """See that silver, its quarantines, gold and features are the same."""
        assert self.moves.lake.names() == self.stays.lake.names()
        silver = [name for name in self.stays.tables() if name.startswith("silver.")]
        refused = [name for name in map(quarantine_name, silver) if self.stays.lake.exists(name)]
        assert self.moves.differing(self.stays, [*self.stays.tables(), *refused]) == []


@pytest.fixture(scope="module")
def pair(homes, nursery, tmp_path_factory) -> Pair:
    """Homes that have a day of real invoices, one of the smallest."""
    first, *days = sorted(sorted(invoice_files(), key=lambda file: file.stat().st_size)[:4])
    stays = homes("stays")
    assert nursery.work(stays, [[first]]) == 0
    return Pair(nursery, stays, copy_of(stays, tmp_path_factory, "moves"), days)


@pytest.fixture
def on_spark(spark: SparkConnect) -> dict[str, str]:
    return {"AQUIFER_ENGINE": spark.url}


def test_the_main_job_outlives_its_run_its_worker_and_its_server_while_gold_is_made_anew(
    pair, nursery, on_spark, spark, spark_worker, fault, tmp_path, tmp_path_factory
):
    """The catalog of a Connect server that was started again is empty."""
    pair.maintain()
    pair.change_orders()
    pair.moves = copy_of(pair.moves, tmp_path_factory, "without_gold")
    home = pair.moves.folder
    shutil.rmtree(home / "lake" / "gold")
    day = pair.next_day()
    shutil.copy(day, tmp_path)

    def written(layer: str) -> int:
        return progress.count(home, [f"lake/{layer}"])

    def main_job_writes(layer: str, files: int) -> None:
        begun = written(layer)
        until(lambda: run.poll() is not None or written(layer) >= begun + files)
        assert run.poll() is None, run.communicate()

    target = written("silver") + 20
    killed = nursery.work(pair.moves, [[day]], kill_at=target, within=["lake/silver"], **on_spark)
    assert killed == -signal.SIGKILL
    with fault("kill -9 of a run on Spark, in silver, until the next one goes on with silver"):
        run = start("demo", "--data", str(tmp_path), home=home, **on_spark)
        main_job_writes("silver", 1)
    for server, layer in ((spark_worker, "silver"), (spark, "gold")):
        with fault(f"kill -9 of {server.name}, in {layer} of the main job, until it goes on"):
            server.signal(signal.SIGKILL)
            server.wait()
            server.start()
            main_job_writes(layer, 1)
        main_job_writes("gold", 10)
    said, complaints = run.communicate()
    assert run.returncode == 0, (said, complaints)
    assert "Warning" not in complaints
    # Features, which the main job leaves to a sensor.
    assert nursery.work(pair.moves, [[]], **on_spark) == 0
    pair.compare()


def test_events_drained_and_gold_refreshed_whole_on_spark_are_the_same(pair, nursery, on_spark):
    events = chaos.history(20261122, EVENTS)
    chaos.take_in(nursery, pair.stays, events)
    chaos.take_in(nursery, pair.moves, events, **on_spark)
    pair.compare()
    assert nursery.work(pair.stays, [], full_refresh=True) == 0
    assert nursery.work(pair.moves, [], full_refresh=True, **on_spark) == 0
    pair.compare()


def test_the_embedded_engine_goes_on_with_what_spark_wrote(pair, nursery):
    assert nursery.work(pair.moves, [[pair.next_day()]]) == 0
    pair.compare()


def test_an_error_is_told_once_and_without_the_servers_stack(on_spark, tmp_path):
    failed = subprocess.run(
        [sys.executable, "-c", FAILS],
        cwd=PROJECT,
        env={**os.environ, **on_spark, "AQUIFER_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "TABLE_OR_VIEW_NOT_FOUND" in failed.stdout
    assert "JVM" not in failed.stdout
    assert failed.stderr == ""


def test_what_holds_on_the_embedded_engine_holds_on_spark(on_spark):
    tests = [f"tests/assets/{name}" for name in HELD_ON_ANY_ENGINE]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *tests],
        cwd=PROJECT,
        env={**os.environ, **on_spark},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout[-5_000:]
