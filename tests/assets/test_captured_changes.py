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
SNAPSHOTS = "orders.snapshots"
COMMITTED_US = 1_795_319_751_517_203
LATER = 60_000_000
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


def change(op: str, before: dict | None, after: dict | None, lsn: int = 1, since: int = 0) -> bytes:
    """A change that was captured so many microseconds later than the first."""
    at = COMMITTED_US + since
    source = {"connector": "postgresql", "lsn": lsn, "ts_us": at}
    told = {"op": op, "before": before, "after": after, "source": source, "ts_us": at}
    return json.dumps(told).encode()


def shop(**changed: Any) -> dict[str, Any]:
    return SHOP | changed


def tell(log: EmbeddedEventLog, type_: str, since: int) -> None:
    """Tell of a snapshot, as Debezium does."""
    at = str((COMMITTED_US + since) // 1000)
    step = {"type": type_, "aggregate_type": "Initial Snapshot", "timestamp": at}
    log.create_topic(SNAPSHOTS)
    produce(log, SNAPSHOTS, json.dumps(step).encode())


def produce(log: EmbeddedEventLog, topic: str, *values: bytes | None) -> None:
    """Produce changes, those of one store in one partition."""
    published = instant("2026-11-22T03:55:52")
    rows = [{"key": key_of(value), "value": value, "timestamp": published} for value in values]
    log.produce(topic, pa.Table.from_pylist(rows, PRODUCED))


def key_of(value: bytes | None) -> bytes:
    told = json.loads(value or b"{}")
    row = told.get("after") or told.get("before") or SHOP
    return row["store_id"].encode()


def take_in(world: World, log: EmbeddedEventLog, *values: bytes | None) -> list[Advance]:
    """Take changes of stores into their tables."""
    produce(log, TOPIC, *values)
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


def at(day: int) -> str:
    return f"2011-03-{day:02}T00:00:00Z"


@pytest.mark.parametrize("together", [True, False])
def test_a_snapshot_takes_out_what_the_source_has_no_more(world, log, together):
    """The source went back to the third day of the month, and goes on from there."""
    first = shop(changed_at=at(1))
    second = shop(store_id="S02", changed_at=at(2))
    lost = shop(store_id="S03", changed_at=at(2))
    future = shop(store_id="S04", changed_at=at(6))
    read = shop(store_id="S05", changed_at=at(3))
    undone = first | {"name": "Undone", "changed_at": at(5)}
    deleted = second | {"changed_at": at(7)}
    renamed = first | {"name": "Renamed", "changed_at": at(4)}
    again = future | {"name": "Again", "changed_at": at(4)}
    batches: list[list[tuple]] = [
        [("c", None, row) for row in (first, second, lost, future, read)],
        [("u", first, undone), ("u", second, deleted), ("d", deleted, None)],
        [("r", None, row) for row in (first, second, read)],
        [("u", first, renamed), ("c", None, again)],
    ]
    for n, batch in enumerate(batches):
        if n == 2:
            tell(log, "STARTED", 2 * LATER - 1)
        changes = [change(*told, since=n * LATER) for told in batch]
        (produce(log, TOPIC, *changes) if together else take_in(world, log, *changes))
        if n == 2:
            tell(log, "COMPLETED", 2 * LATER + 1_000)
    take_in(world, log)
    stores = {row["store_id"]: row["name"] for row in world.rows("silver.stores")}
    gone = {row["store_id"] for row in world.rows("silver.stores") if row["_deleted"]}
    assert stores["S01"] == "Renamed"
    assert stores["S04"] == "Again"
    assert gone == {"S03"}
    states = sorted(
        (row["store_id"], row["changed_at"], row["name"], row["is_deleted"])
        for row in world.rows("silver.store_changes")
        if not row["_deleted"]
    )
    assert states == [
        ("S01", instant("2011-03-01"), "First", False),
        ("S01", instant("2011-03-04"), "Renamed", False),
        ("S02", instant("2011-03-02"), "First", False),
        ("S03", instant("2011-03-02"), "First", False),
        # By the shop's clock, which the snapshot has seen at the third day.
        ("S03", instant("2011-03-03"), "First", True),
        ("S04", instant("2011-03-04"), "Again", False),
        ("S05", instant("2011-03-03"), "First", False),
    ]
