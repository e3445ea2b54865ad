"""The order database's outbox: every change is one event, seen once by a reader of offsets."""

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime

import pytest
from conftest import PROJECT
from logs import Event, events

from aquifer.errors import SettingError
from aquifer.eventlog import EVENTS, PARTITIONS, UnknownTopic
from resources.order_database import TABLES, OutboxEventLog, create_tables
from resources.sqlite import connect, transaction

PUBLISHED = datetime(2011, 3, 1, 8, 26, 0, 250, tzinfo=UTC)
TS_US = 1_298_967_960_000_250
DEADLINE_SECONDS = 30

WRITER = """
import sys
from contextlib import closing
from pathlib import Path
from resources.order_database import create_tables
from resources.sqlite import connect, transaction

name = sys.argv[2]
sys.stdin.readline()
with closing(connect(Path(sys.argv[1]))) as connection:
    create_tables(connection)
    for n in range(int(sys.argv[3])):
        with transaction(connection):
            connection.execute("insert into regions values (?, 'North')", (f"{name}{n}",))
            connection.execute("update regions set region = 'South' where country = ?",
                               (f"{name}{n}",))
"""

OPENERS = """
import multiprocessing, sys
from pathlib import Path
from resources.order_database import OutboxEventLog

def open_all(barrier):
    for n in range(40):
        barrier.wait(timeout=20)
        OutboxEventLog(Path(sys.argv[1]) / f"{n}.db").end_offsets("orders.orders")

several = multiprocessing.get_context("fork")
barrier = several.Barrier(4)
openers = [several.Process(target=open_all, args=[barrier]) for _ in range(4)]
for opener in openers:
    opener.start()
for opener in openers:
    opener.join()
sys.exit(any(opener.exitcode for opener in openers))
"""


@pytest.fixture
def log(tmp_path) -> OutboxEventLog:
    return OutboxEventLog(tmp_path / "orders.db")


@pytest.fixture
def database(log):
    with closing(connect(log.path)) as connection:
        create_tables(connection)
        connection.execute("update clock set ts_us = ?", (TS_US,))
        yield connection


def insert_regions(connection, names: list[str]) -> None:
    connection.executemany("insert into regions values (?, 'North')", [(name,) for name in names])


@pytest.mark.parametrize("table", TABLES)
def test_insert_update_and_delete_become_envelopes(database, log, table):
    columns = TABLES[table]
    first = {column: f"{column} 'a' \"b\" é\n" for column in columns}
    second = first | {columns[-1]: None}
    marks = ", ".join("?" for _ in columns)
    database.execute(f"insert into {table} values ({marks})", list(first.values()))
    database.execute(f"update {table} set {columns[-1]} = null")
    database.execute(f"delete from {table}")
    found = events(log, f"orders.{table}")
    images = [("c", None, first), ("u", first, second), ("d", second, None)]
    assert [json.loads(event.value) for event in found] == [
        {
            "op": op,
            "before": before,
            "after": after,
            "source": {"db": "orders", "table": table, "lsn": lsn, "ts_us": TS_US},
            "ts_us": TS_US,
        }
        for lsn, (op, before, after) in enumerate(images, start=1)
    ]
    assert {(event.key, event.timestamp) for event in found} == {(first[columns[0]], PUBLISHED)}
    assert [event.offset for event in found] == [0, 1, 2]


def test_every_table_is_a_topic(log):
    assert log.topics() == sorted(f"orders.{table}" for table in TABLES)


def test_changes_of_a_key_stay_in_order_in_one_partition(database, log):
    names = [f"Land {n}" for n in range(40)]
    insert_regions(database, names)
    database.execute("update regions set region = 'South'")
    places = {}
    for event in events(log, "orders.regions"):
        places.setdefault(event.key, []).append((event.partition, json.loads(event.value)["op"]))
    assert sorted(places) == sorted(names)
    assert all(
        len({place for place, _ in changes}) == 1 and [op for _, op in changes] == ["c", "u"]
        for changes in places.values()
    )
    assert {changes[0][0] for changes in places.values()} == set(range(PARTITIONS))


def test_lsns_grow_across_tables_in_the_order_of_the_writes(database, log):
    insert_regions(database, ["A"])
    database.execute("insert into products values ('22139', 'Mug', 'Kitchen', '2.55', '1.10')")
    insert_regions(database, ["B"])
    found = [*events(log, "orders.regions"), *events(log, "orders.products")]
    lsns = {event.key: json.loads(event.value)["source"]["lsn"] for event in found}
    assert lsns == {"A": 1, "22139": 2, "B": 3}


def test_a_rolled_back_transaction_leaves_no_event_and_no_gap(database, log):
    insert_regions(database, ["A"])
    with pytest.raises(ZeroDivisionError):
        break_off(database)
    assert [event.key for event in events(log, "orders.regions")] == ["A"]
    database.execute("update regions set region = 'South' where country = 'A'")
    found = events(log, "orders.regions")
    assert [event.offset for event in found] == [0, 1]
    assert [json.loads(event.value)["source"]["lsn"] for event in found] == [1, 2]


def break_off(database) -> None:
    with transaction(database):
        insert_regions(database, ["AA", "BA"])
        database.execute("delete from regions where country = 'A'")
        raise ZeroDivisionError


def test_reading_begins_at_the_offset_and_ends_at_the_limit(database, log):
    insert_regions(database, ["A"])
    for _ in range(4):
        database.execute("update regions set region = 'South'")
    ends = log.end_offsets("orders.regions")
    (partition,) = [n for n, end in ends.items() if end]
    assert ends == {n: 5 if n == partition else 0 for n in range(PARTITIONS)}

    def offsets(topic: str, partition: int, offset: int, limit: int) -> list[int]:
        found = log.read(topic, {partition: offset}, limit)
        assert found.schema == EVENTS
        assert set(found["partition"].to_pylist()) <= {partition}
        return found["offset"].to_pylist()

    assert offsets("orders.regions", partition, 1, 3) == [1, 2, 3]
    assert offsets("orders.regions", partition, 3, 100) == [3, 4]
    assert offsets("orders.regions", partition, 5, 100) == []
    assert offsets("orders.regions", (partition + 1) % PARTITIONS, 0, 100) == []
    assert offsets("orders.products", partition, 0, 100) == []


def test_a_read_takes_from_all_partitions_alike(database, log):
    insert_regions(database, [f"Land {n}" for n in range(200)])
    found = log.read("orders.regions", dict.fromkeys(range(PARTITIONS), 2), 20)
    assert Counter(found["partition"].to_pylist()) == dict.fromkeys(range(PARTITIONS), 2)
    assert found["offset"].to_pylist() == [2, 3] * PARTITIONS


def test_a_topic_that_is_no_table_is_one_line(log):
    with pytest.raises(UnknownTopic, match=r"no topic 'orders\.returns' in the order database"):
        log.end_offsets("orders.returns")


def test_a_database_that_no_one_has_written_has_no_events(log):
    assert log.end_offsets("orders.orders") == dict.fromkeys(range(PARTITIONS), 0)
    assert events(log, "orders.orders") == []


def test_a_reader_does_not_wait_for_an_open_transaction_nor_see_it(database, log):
    insert_regions(database, ["A"])
    seen = []
    with transaction(database):
        insert_regions(database, ["B"])
        reader = threading.Thread(
            target=lambda: seen.extend(e.key for e in events(log, "orders.regions")), daemon=True
        )
        reader.start()
        reader.join(timeout=5)
        assert seen == ["A"]


def test_two_writers_lose_nothing_and_a_following_reader_sees_each_event_once(log):
    written = 300
    writers = [run_python(WRITER, log.path, name, written) for name in ("alpha", "beta")]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.close()
    position = dict.fromkeys(range(PARTITIONS), 0)
    seen: list[Event] = []
    expected = 2 * 2 * written
    deadline = time.monotonic() + DEADLINE_SECONDS
    # Until all have ended, and once more, so that an event too many would be seen as well.
    ended = False
    while not ended:
        assert time.monotonic() < deadline
        ended = all(writer.poll() is not None for writer in writers)
        while found := events(log, "orders.regions", position, 200):
            for event in found:
                assert event.offset == position[event.partition]
                position[event.partition] += 1
            seen += found
    assert [writer.returncode for writer in writers] == [0, 0]
    assert len(seen) == expected
    changes = [(event.key, json.loads(event.value)["op"]) for event in seen]
    assert sorted(changes) == sorted(
        (f"{name}{n}", op) for name in ("alpha", "beta") for n in range(written) for op in "cu"
    )
    lsns = [json.loads(event.value)["source"]["lsn"] for event in seen]
    assert sorted(lsns) == list(range(1, expected + 1))
    assert log.end_offsets("orders.regions") == position


def run_python(code: str, *arguments: object) -> subprocess.Popen:
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "platform")])
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.PIPE,
        text=True,
    )


def test_a_new_database_can_be_opened_by_several_at_once(tmp_path):
    openers = run_python(OPENERS, tmp_path)
    assert openers.wait(timeout=DEADLINE_SECONDS) == 0


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"cannot open the database .*orders\.db") as raised:
        OutboxEventLog(tmp_path / "file" / "orders.db").end_offsets("orders.orders")
    assert "\n" not in str(raised.value)


def test_a_file_that_is_no_database_is_one_line(log):
    log.path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(SettingError, match=r"cannot open the database .*orders\.db"):
        log.end_offsets("orders.orders")
