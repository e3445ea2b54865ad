"""Changes as Debezium tells them become the rows that the outbox's would."""

import json
from contextlib import closing
from typing import Any

import pyarrow as pa
import pytest
from worlds import SILVER, World, instant

from aquifer.advance import Advance
from aquifer.eventlog import PRODUCED
from resources.event_log.embedded import EmbeddedEventLog

TOPIC = "orders.stores"
COMMITTED_US = 1_795_319_751_517_203
SHOP = {
    "store_id": "S01",
    "name": "First",
    "city": "Łódź",
    "country": "Poland",
    "opened_on": "2010-01-31Z",
    "loyalty": "a column that was added",
    "changed_at": "2011-03-01T08:26:00.250000Z",
}


@pytest.fixture
def log(tmp_path):
    with closing(EmbeddedEventLog(tmp_path / "events")) as log:
        log.create_topic(TOPIC)
        yield log


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def change(op: str, before: dict | None, after: dict | None, lsn: int = 1) -> bytes:
    source = {
        "connector": "postgresql",
        "snapshot": "last" if op == "r" else "false",
        "lsn": lsn,
        "ts_us": COMMITTED_US,
    }
    told = {"op": op, "before": before, "after": after, "source": source, "ts_us": COMMITTED_US}
    return json.dumps(told).encode()


def shop(**changed: Any) -> dict[str, Any]:
    return SHOP | changed


def take_in(world: World, log: EmbeddedEventLog, *values: bytes | None) -> list[Advance]:
    """Take events of one store into its tables."""
    rows = [
        {"key": b'{"store_id":"S01"}', "value": value, "timestamp": instant("2026-11-22T03:55:52")}
        for value in values
    ]
    log.produce(TOPIC, pa.Table.from_pylist(rows, PRODUCED))
    tables = [SILVER["silver.stores"], SILVER["silver.store_changes"]]
    tables[0].reads.advance(world.lake, log)
    advanced = [table.advance(world.runtime) for table in tables]
    assert all(advance.accounted for advance in advanced)
    return advanced


def test_days_and_instants_are_read_as_debezium_writes_them(world, log):
    take_in(world, log, change("r", None, shop()))
    (store,) = world.rows("silver.stores")
    assert (store["city"], f"{store['opened_on']}") == ("Łódź", "2010-01-31")
    (state,) = world.rows("silver.store_changes")
    # By the clock of the shop, not when the server committed it.
    assert state["changed_at"] == instant("2011-03-01T08:26:00.250")


def test_a_change_without_a_time_of_its_own_has_that_of_its_commit(world, log):
    take_in(world, log, change("c", None, shop(changed_at=None)))
    (state,) = world.rows("silver.store_changes")
    assert state["changed_at"] == instant("2026-11-22T03:55:51.517203")


def test_of_changes_at_one_time_and_position_the_later_in_the_log_stands(world, log):
    """A database that was restored begins again at an earlier position of its own log."""
    take_in(world, log, change("u", shop(), shop(name="Second"), lsn=900))
    take_in(world, log, change("u", shop(), shop(name="Third"), lsn=100))
    assert [row["name"] for row in world.rows("silver.stores")] == ["Third"]
    assert [row["name"] for row in world.rows("silver.store_changes")] == ["Third"]


def test_a_delete_is_when_the_row_was_told_that_it_goes(world, log):
    goes = shop(changed_at="2011-03-02T00:00:00Z")
    take_in(world, log, change("c", None, shop()), change("u", shop(), goes))
    take_in(world, log, change("d", goes, None))
    assert [row["_deleted"] for row in world.rows("silver.stores")] == [True]
    states = [(row["changed_at"], row["is_deleted"]) for row in world.rows("silver.store_changes")]
    assert sorted(states) == [
        (instant("2011-03-01T08:26:00.250"), False),
        (instant("2011-03-02"), True),
    ]


def test_a_tombstone_counts_as_a_duplicate(world, log):
    advanced = take_in(world, log, change("c", None, shop()), change("d", shop(), None), None)
    assert [(a.rows_in, a.kept, a.quarantined) for a in advanced] == [(3, 1, 0)] * 2
    assert [a.duplicates for a in advanced] == [2, 2]


def test_a_truncation_is_refused_and_seen(world, log):
    advanced = take_in(world, log, change("c", None, shop()), change("t", None, None))
    assert [(a.rows_in, a.kept, a.quarantined) for a in advanced] == [(2, 1, 1)] * 2
