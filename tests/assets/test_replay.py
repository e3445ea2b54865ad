"""Refused rows are taken in after all when they, or the contract, were repaired."""

import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from worlds import HEADER, World, land

from aquifer import replay as replays
from aquifer.contract import Contract, Field, Key, Money, hours, table
from aquifer.errors import SourceError
from aquifer.held_by_files import HeldByFiles
from aquifer.landing import LandingFolder
from aquifer.merge import StagedBatch, Target
from aquifer.quarantine import WAITING
from aquifer.runtime import Runtime
from aquifer.silver_table import SilverTable
from assets.bronze.invoice_lines import invoice_lines as bronze_lines
from assets.bronze.order_lines import order_lines as bronze_order_lines
from assets.bronze.points_ledger import points_ledger as bronze_points
from assets.silver.invoice_lines import invoice_lines
from assets.silver.order_lines import order_lines
from assets.silver.points_ledger import points_ledger
from resources import order_database, rewards_database
from resources.order_database import OutboxEventLog
from resources.rewards_database import RewardsExtracts
from resources.sqlite import connect

GOOD = "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850,United Kingdom"
BAD = "536366,85123A,HOLDER,six,2010-12-01 08:28:00,2.55,17850,United Kingdom"
WORSE = "536367,85123A,HOLDER,6,never,2.55,17850,United Kingdom"


class Refusals(World):
    """A world with three of the sources."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.landing = LandingFolder(folder / "landing")

    def land(self, *lines: str, name: str = "2010-12-01.csv") -> None:
        land(self.landing, name, HEADER, *lines)
        bronze_lines.advance(self.runtime.lake, self.landing)

    def deliver(self, *lines: str, name: str = "2010-12-01.csv") -> None:
        self.land(*lines, name=name)
        invoice_lines.advance(self.runtime)

    def replay(
        self, silver: SilverTable = invoice_lines, repairs: dict[str, str] | None = None
    ) -> replays.Replay:
        return replays.replay(silver, self.runtime, repairs or {})

    def lines(self) -> list[tuple]:
        rows = self.runtime.lake.read("silver.invoice_lines").to_pylist()
        return sorted((row["invoice_no"], row["quantity"]) for row in rows if not row["_deleted"])

    def waiting(self) -> list[str]:
        sql = f"select position from silver.invoice_lines_quarantine where {WAITING} order by 1"
        return self.runtime.session.sql(sql).toArrow()["position"].to_pylist()

    def quarantine(self, name: str = "silver.invoice_lines") -> list[dict]:
        rows = self.runtime.lake.read(f"{name}_quarantine").to_pylist()
        return sorted(rows, key=lambda row: row["position"])


@pytest.fixture
def world(tmp_path) -> Refusals:
    return Refusals(tmp_path)


def repaired(row: dict, **fields: str) -> dict[str, str]:
    return {row["position"]: json.dumps({**json.loads(row["raw"]), **fields})}


def test_a_repaired_row_is_taken_in_and_the_rest_of_its_file_stays(world):
    world.deliver(GOOD, BAD, WORSE)
    bad, worse = world.quarantine()
    done = world.replay(repairs=repaired(bad, Quantity="7"))
    assert (done.taken_in, done.refused, done.withdrawn) == (1, 1, 0)
    assert world.lines() == [("536365", 6), ("536366", 7)]
    settled, waiting = world.quarantine()
    assert settled["replayed_at"] is not None
    assert settled["raw"] == bad["raw"]
    assert json.loads(settled["repaired"])["Quantity"] == "7"
    assert settled["reasons"] == bad["reasons"]
    assert waiting == {**worse, "_seq": waiting["_seq"]}


def test_what_is_downstream_sees_a_replayed_row_as_new(world):
    world.deliver(GOOD, BAD)
    (bad,) = world.quarantine()
    before = world.runtime.lake.seq("silver.invoice_lines")
    world.replay(repairs=repaired(bad, Quantity="7"))
    rows = world.runtime.lake.read("silver.invoice_lines").to_pylist()
    (seq,) = {row["_seq"] for row in rows if row["invoice_no"] == "536366"}
    assert before < seq <= world.runtime.lake.seq("silver.invoice_lines")


def test_replaying_again_changes_nothing(world):
    world.deliver(GOOD, BAD)
    (bad,) = world.quarantine()
    world.replay(repairs=repaired(bad, Quantity="7"))
    lines, quarantine = world.lines(), world.quarantine()
    done = world.replay()
    assert (done.taken_in, done.refused, done.withdrawn) == (0, 0, 0)
    assert world.lines() == lines
    assert world.quarantine() == quarantine


def test_a_repair_that_is_refused_is_kept_with_its_own_reasons(world):
    world.deliver(GOOD, BAD)
    (bad,) = world.quarantine()
    world.replay(repairs=repaired(bad, Quantity="7", UnitPrice="-1"))
    (row,) = world.quarantine()
    assert row["reasons"] == ["price_not_negative"]
    assert row["replayed_at"] is None
    assert json.loads(row["repaired"])["UnitPrice"] == "-1"


def test_a_row_of_a_delivery_that_was_superseded_stays_out(world):
    world.deliver(GOOD, BAD)
    (bad,) = world.quarantine()
    world.deliver(GOOD)
    done = world.replay(repairs=repaired(bad, Quantity="7"))
    assert (done.taken_in, done.refused, done.withdrawn) == (0, 0, 1)
    assert world.lines() == [("536365", 6)]


def test_a_later_delivery_withdraws_a_replayed_row(world):
    world.deliver(BAD)
    (bad,) = world.quarantine()
    world.replay(repairs=repaired(bad, Quantity="7"))
    world.deliver(GOOD)
    assert world.lines() == [("536365", 6)]
    (row,) = world.quarantine()
    assert (row["replayed_at"] is None, row["withdrawn_at"]) == (False, None)


def test_a_refused_row_waits_in_the_latest_delivery_of_its_file_alone(world):
    world.deliver(BAD, name="other.csv")
    world.deliver(GOOD, BAD)
    world.deliver(WORSE, BAD)
    assert world.waiting() == ["2010-12-01.csv#2#1", "2010-12-01.csv#2#2", "other.csv#1#1"]
    # Two deliveries that silver takes in together.
    world.land(GOOD, BAD)
    world.deliver(BAD)
    assert world.waiting() == ["2010-12-01.csv#4#1", "other.csv#1#1"]
    first, *_ = world.quarantine()
    assert first["position"] == "2010-12-01.csv#1#2"
    done = world.replay()
    assert (done.taken_in, done.refused, done.withdrawn) == (0, 2, 0)
    assert invoice_lines.advance(world.runtime).kept == 0
    assert invoice_lines.standing(world.lake).waiting == 2
    # Without a refused row, and without a row at all.
    world.deliver(GOOD)
    assert world.waiting() == ["other.csv#1#1"]
    world.deliver(name="other.csv")
    assert world.waiting() == []
    assert world.quarantine()[0] == first


class CutOff(HeldByFiles):
    """What merging is to a run that is killed before it."""

    def merge(self, runtime: Runtime, target: Target, batch: StagedBatch) -> None:
        raise KeyboardInterrupt


def test_a_row_that_a_killed_run_refused_is_replayed_once_its_batch_is_merged(world):
    world.deliver(GOOD)
    world.land(GOOD, BAD)
    with pytest.raises(KeyboardInterrupt):
        replace(invoice_lines, policy=CutOff()).advance(world.runtime)
    (bad,) = world.quarantine()
    done = world.replay()
    assert (done.taken_in, done.refused, done.withdrawn) == (0, 0, 0)
    with pytest.raises(SourceError, match=r"holds no refused row 2010-12-01\.csv#2#2"):
        world.replay(repairs=repaired(bad, Quantity="7"))
    invoice_lines.advance(world.runtime)
    assert world.replay(repairs=repaired(bad, Quantity="7")).taken_in == 1
    assert world.lines() == [("536365", 6), ("536366", 7)]


@pytest.mark.parametrize("step", ["advance", "replay"])
def test_nothing_is_written_to_a_quarantine_that_another_is_writing(world, step, caplog):
    world.deliver(GOOD, WORSE)
    world.land(GOOD, BAD, name="other.csv")
    before = world.quarantine()
    write = {"advance": lambda: invoice_lines.advance(world.runtime), "replay": world.replay}
    writer = Thread(target=write[step])
    with world.runtime.lake.lease(["silver.invoice_lines_quarantine"]):
        writer.start()
        deadline = time.monotonic() + 60
        while "is writing silver.invoice_lines_quarantine; waiting" not in caplog.text:
            assert writer.is_alive()
            assert time.monotonic() < deadline
            writer.join(0.01)
        assert world.quarantine() == before
    writer.join(60)
    assert world.quarantine() != before


@pytest.mark.parametrize(
    ("repairs", "message"),
    [
        ({"2010-12-01.csv#1#9": "{}"}, "holds no refused row 2010-12-01.csv#1#9"),
        ({"2010-12-01.csv#1#2": "seven"}, "2010-12-01.csv#1#2 is no JSON object"),
        ({"2010-12-01.csv#1#2": '{"Qty": "7"}'}, "names Qty"),
    ],
)
def test_a_repair_that_cannot_be_used_is_named(world, repairs, message):
    world.deliver(GOOD, BAD)
    before = world.quarantine()
    with pytest.raises(SourceError, match=message):
        world.replay(repairs=repairs)
    assert world.quarantine() == before


class AnyOrderLine(Contract):
    """The contract of order lines, repaired: pieces may come back."""

    order_line_id: str = Key()
    order_id: str
    line_no: int = Field(ge=1)
    sku: str
    quantity: int
    unit_price: Money = Field(ge=0)

    class Config:
        metadata = table(owner="team:orders", grain="a line of an order", fresh_within=hours(26))


def test_a_repaired_contract_takes_in_events_in_the_order_of_their_changes(world):
    database = world.folder / "orders.db"
    with closing(connect(database)) as connection:
        order_database.create_tables(connection)
        connection.executescript(
            """
            update clock set ts_us = 1300000000000000;
            insert into order_lines values ('1', 'o', 1, 'A', -2, '1.50');
            insert into order_lines values ('2', 'o', 2, 'A', -2, '1');
            insert into order_lines values ('3', 'o', 3, 'A', -2, '1');
            -- At the same instant, but after it.
            update order_lines set quantity = 4 where order_line_id = '3';
            update clock set ts_us = 1300000001000000;
            update order_lines set quantity = 3 where order_line_id = '2';
            """
        )
    bronze_order_lines.advance(world.runtime.lake, OutboxEventLog(database))
    order_lines.advance(world.runtime)
    assert [row["reasons"] for row in world.quarantine("silver.order_lines")] == [
        ["quantity_gt"],
        ["quantity_gt"],
        ["quantity_gt"],
    ]
    done = world.replay(replace(order_lines, contract=AnyOrderLine))
    assert (done.taken_in, done.refused) == (3, 0)
    rows = world.runtime.lake.read("silver.order_lines").to_pylist()
    assert {row["order_line_id"]: row["quantity"] for row in rows} == {"1": -2, "2": 3, "3": 4}


def test_a_repaired_row_of_an_extract_is_taken_in(world):
    database = world.folder / "rewards.db"
    with closing(connect(database)) as connection:
        rewards_database.create_tables(connection)
        connection.execute("update clock set ts_us = 1300000000000000")
        connection.execute(
            "insert into points_ledger values "
            "('e', 'm', 'many', 'sale', '2010-12-01 08:00:00', '2010-12-01 09:00:00.123456')"
        )
    bronze_points.advance(world.runtime.lake, RewardsExtracts(database))
    points_ledger.advance(world.runtime)
    (row,) = world.quarantine("silver.points_ledger")
    world.replay(points_ledger, repairs=repaired(row, points="12"))
    (entry,) = world.runtime.lake.read("silver.points_ledger").to_pylist()
    assert entry["points"] == 12
    assert f"{entry['_changed_at']:%H:%M:%S.%f}" == "09:00:00.123456"
    assert world.quarantine("silver.points_ledger")[0]["replayed_at"] is not None
