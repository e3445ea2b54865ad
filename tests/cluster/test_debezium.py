"""Changes of PostgreSQL come by Debezium and Kafka to the same tables as those of the outbox."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import captured
import psycopg2
import pytest
from captured import TABLES, Shop, Stream, Taken

from aquifer.errors import PassingError, SourceError
from aquifer.lake import DELETED
from aquifer.merge import History

GOLD = ["gold.dim_customer", "gold.dim_store", "gold.dim_geography", "gold.fct_orders"]
BUILT = [*GOLD, "gold.dim_product", "gold.dim_date"]

ADA = "'17850', 'Ada ''Countess'' \"of\" Lovelace', 'ada@example.org', null, '1 \\ Road', 'Łódź'"

BEFORE = [
    f"insert into customers values ({ADA}, 'Poland')",
    "insert into customers values ('12583', '漢字 🛒', null, '+44 1', '', 'Leeds', 'EIRE')",
    "insert into stores values ('S01', 'First', 'Leeds', 'United Kingdom', '2010-01-31')",
    "insert into regions values ('EIRE', 'Isles')",
    "insert into products values ('10001', 'Mug', 'Kitchen', '9.20', '4.1')",
    "insert into orders (order_id, customer_id, store_id, status, placed_at, currency) "
    "values ('W1', '17850', 'S01', 'placed', '2011-03-13 08:26:00', 'GBP')",
    "insert into order_lines values ('W1-1', 'W1', 1, '10001', 6, '9.20')",
    "insert into stock_movements values "
    "('R-1', 'S01', '10001', 12, 'receipt', '2010-12-01 09:00:00.25')",
]
AFTERWARDS = [
    "update customers set city = 'Kraków', phone = '+48' where customer_id = '17850'",
    "update orders set status = 'paid', paid_at = '2011-03-13 09:00:00' where order_id = 'W1'",
    "update products set list_price = '9.2', cost = '0.0001'",
    "insert into order_lines values ('W1-2', 'W1', 2, '10001', 1, '1234567890.1234')",
    "delete from order_lines where order_line_id = 'W1-1'",
    "delete from customers where customer_id = '12583'",
    "update stores set name = 'O''Connell\n\"Street\"'",
    "update regions set region = 'North'",
]
AT_LAST = [
    "insert into customers values ('12583', 'Back', null, null, null, null, 'EIRE')",
    "update orders set status = 'shipped', shipped_at = '2011-03-14 00:00:00'",
    "delete from regions where country = 'EIRE'",
    "update customers set city = null where customer_id = '17850'",
    "delete from stock_movements",
]


LOST = [
    "update customers set name = 'Lost', changed_at = '2012-01-01' where customer_id = '17850'",
    "insert into customers values ('99999', 'Never', null, null, null, null, 'EIRE', '2012-01-02')",
    "delete from customers where customer_id = '12583'",
    "delete from order_lines",
    "update stores set city = 'York', changed_at = '2012-01-01'",
]
SERVERS = {"worker": "Kafka Connect", "postgres": "PostgreSQL", "kafka": "the broker"}
"""The servers by their fixtures."""

WRITER = """
import sys
from pathlib import Path
from resources.order_server import OrderServer

OrderServer(sys.argv[1]).apply(Path(sys.argv[2]))
"""
ENDED = """
select pg_terminate_backend(pid) from pg_stat_activity
where wait_event_type = 'Lock' and query like '%applied for update'
"""
CURRENT = {
    "gold.dim_customer": ("customer_id", "name", "city", "country"),
    "gold.dim_store": ("store_id", "name", "city", "country"),
    "gold.dim_geography": ("country", "region"),
}


@pytest.fixture
def shop(kafka, postgres, worker, tmp_path):
    with captured.shop(tmp_path, kafka, postgres, worker) as shop:
        yield shop


def content(world: Taken) -> dict[str, list[tuple]]:
    """Every row of the tables of silver, with whether it is deleted, and of gold."""
    silver = {
        table.name: sorted(
            (*(row[column] for column in table.target.columns), row[DELETED])
            for row in world.rows(table.name)
        )
        for table in TABLES
    }
    return silver | world.content(*GOLD)


def from_outbox(shop: Shop, folder: Path) -> Taken:
    """The tables that the embedded outbox fills."""
    embedded = Taken(folder / "embedded")
    embedded.make_silver()
    embedded.take_in(shop.outbox)
    assert embedded.build(*BUILT) == []
    return embedded


def test_every_table_is_the_same_as_from_the_outbox(shop: Shop, tmp_path):
    shop.write(*BEFORE)
    shop.capture()
    shop.settle()
    shop.write(*AFTERWARDS)
    shop.execute("alter table customers add column loyalty text not null default 'née'")
    shop.write(*AT_LAST)
    shop.settle()
    expected = content(from_outbox(shop, tmp_path))
    taken = Taken(tmp_path / "captured")
    taken.make_silver()
    taken.take_in(shop.log)
    assert taken.build(*BUILT) == []
    assert content(taken) == expected


def test_what_has_been_captured_can_be_waited_for(shop):
    shop.write(*BEFORE)
    with pytest.raises(SourceError, match="nothing captures the changes of the order database"):
        shop.server.await_capture()
    shop.capture()
    shop.settle()
    shop.write(*AFTERWARDS)
    shop.server.await_capture()
    assert shop.changes(shop.log) == shop.changes(shop.outbox)


@pytest.mark.parametrize("killed", SERVERS)
def test_a_server_that_is_killed_amid_changes_loses_and_doubles_nothing(
    shop, request, fault, killed
):
    server = request.getfixturevalue(killed)
    shop.capture()
    shop.settle()
    with Stream(shop) as stream:
        stream.wait_for(100)
        with fault(f"kill -9 of {SERVERS[killed]}, changes of orders on their way"):
            server.signal(signal.SIGKILL)
            server.wait()
            if killed != "postgres":
                stream.wait_for(20)
            server.start()
            shop.settle()
        stream.wait_for(20)
    shop.settle()
    assert shop.changes(shop.log) == shop.changes(shop.outbox)


def test_a_server_that_ends_while_a_change_is_written_does_not_answer(shop):
    """Which passes, and is no change that it refuses."""
    shop.write("insert into regions values ('EIRE', 'Isles')")
    shop.play("update regions set region = 'North'")
    with closing(psycopg2.connect(shop.url)) as other, ThreadPoolExecutor(1) as pool:
        other.cursor().execute("select lsn from applied for update")
        writing = pool.submit(shop.server.apply, shop.outbox.path)
        captured.until(lambda: shop.execute(ENDED), "who waits for the lock is ended")
        with pytest.raises(PassingError, match="does not answer"):
            writing.result()


def test_a_writer_that_is_killed_writes_each_change_once(shop):
    shop.capture()
    shop.settle()
    shop.play(*(f"insert into regions values ('Land {n}', 'North')" for n in range(15_000)))
    shop.play("update regions set region = 'South'")
    killed = 0
    while True:
        writer = subprocess.Popen([sys.executable, "-c", WRITER, shop.url, shop.outbox.path])
        try:
            assert writer.wait(timeout=0.5 + 0.2 * killed) == 0
            break
        except subprocess.TimeoutExpired:
            writer.kill()
            writer.wait()
            killed += 1
    assert killed
    shop.settle()
    assert shop.changes(shop.log) == shop.changes(shop.outbox)


def standing(world: Taken) -> dict[str, list[tuple]]:
    """What stands now: the rows of the database, and the current members of the dimensions."""
    silver = {
        table.name: sorted(
            tuple(row[column] for column in table.target.columns)
            for row in world.rows(table.name)
            if not row[DELETED]
        )
        for table in TABLES
        if not isinstance(table.policy, History)
    }
    gold = {
        name: sorted(
            tuple(row[column] for column in columns)
            for row in world.rows(name)
            if row["is_current"] and not row["is_deleted"]
        )
        for name, columns in CURRENT.items()
    }
    return silver | gold


def assert_stands(taken: Taken, shop: Shop, tmp_path) -> None:
    """See that what was taken in is what the outbox says, however it came to that."""
    assert taken.build(*BUILT) == []
    found = standing(taken)
    assert found == standing(from_outbox(shop, tmp_path))


def test_a_lost_slot_is_made_good_by_a_new_snapshot(shop, worker, tmp_path, fault):
    shop.capture()
    shop.write(*BEFORE)
    shop.settle()
    taken = Taken(tmp_path / "captured")
    taken.make_silver()
    taken.take_in(shop.log)
    worker.signal(signal.SIGKILL)
    worker.wait()
    with fault("replication slot lost, with changes that nobody captured"):
        shop.lose_slot()
        shop.write(*AFTERWARDS, "delete from products", "delete from orders")
        worker.start()
        shop.settle()
        taken.take_in(shop.log)
    assert_stands(taken, shop, tmp_path)


def test_a_database_that_was_restored_to_an_earlier_state_is_followed(
    shop, postgres, tmp_path, fault
):
    shop.write(*BEFORE)
    shop.capture()
    shop.settle()
    backup = shop.back_up()
    for statement in LOST:
        shop.execute(statement)
    shop.settle()
    taken = Taken(tmp_path / "captured")
    taken.make_silver()
    taken.take_in(shop.log)
    assert "Lost" in {row["name"] for row in taken.rows("silver.customers")}
    with fault("order database restored to an earlier point"):
        postgres.signal(signal.SIGKILL)
        postgres.wait()
        postgres.settings["PGDATA"] = backup
        postgres.start()
        shop.settle()
        taken.take_in(shop.log)
    assert_stands(taken, shop, tmp_path)
