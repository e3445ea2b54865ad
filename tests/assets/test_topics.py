"""Bronze from an event log: every event once, as received, whatever it holds."""

import json
from base64 import b64encode
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from worlds import SILVER, World

from aquifer.asset_checks import bronze_check_results
from aquifer.errors import SourceError
from aquifer.eventlog import PRODUCED, lag
from aquifer.replay import replay
from resources.event_log.embedded import EmbeddedEventLog

REGIONS = SILVER["silver.regions"]
BRONZE = REGIONS.reads
TOPIC = "orders.regions"
SENT = datetime(2026, 3, 1, 8, 26, tzinfo=UTC)
STRAY = b'{"op": "c", "after": "\xff\xfe"}'


@pytest.fixture
def log(tmp_path):
    with closing(EmbeddedEventLog(tmp_path / "events")) as log:
        log.create_topic(TOPIC)
        yield log


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def produce(log: EmbeddedEventLog, *values: bytes | None) -> None:
    rows = [
        {"key": f"key {n}".encode(), "value": value, "timestamp": SENT}
        for n, value in enumerate(values)
    ]
    log.produce(TOPIC, pa.Table.from_pylist(rows, PRODUCED))


def region(country: str, minute: int) -> bytes:
    at = 1_300_000_000_000_000 + minute * 60_000_000
    after = {"country": country, "region": "North"}
    source = {"lsn": minute, "ts_us": at}
    return json.dumps({"op": "c", "before": None, "after": after, "source": source}).encode()


def received(world: World, *columns: str) -> list[tuple]:
    rows = world.lake.read(BRONZE.name, list(columns)).to_pylist()
    return sorted((tuple(row[column] for column in columns) for row in rows), key=repr)


def test_lag_is_told_while_another_reads_on(world, log, tmp_path):
    """The order in which log and table are asked is what counts."""

    class ReadOn(EmbeddedEventLog):
        """After each answer another thread takes in what is new by then."""

        def end_offsets(self, topic: str) -> dict[int, int]:
            ends = super().end_offsets(topic)
            produce(log, b"another")
            BRONZE.advance(world.lake, log)
            return ends

    produce(log, b"one")
    BRONZE.advance(world.lake, log)
    with closing(ReadOn(tmp_path / "events")) as reader:
        assert BRONZE.lag(world.lake, reader) >= 0
    assert BRONZE.lag(world.lake, log) == 0


def test_a_batch_of_all_partitions_is_one_commit_with_the_marks_of_those_that_moved(world, log):
    produce(log, *(f"event {n}".encode() for n in range(100)))
    ends = log.end_offsets(TOPIC)
    first = BRONZE.advance(world.lake, log)
    assert (first.rows_in, first.kept) == (100, 100)
    assert first.marks == {f"{TOPIC}/{n}": end for n, end in ends.items()}
    places = received(world, "_partition", "_offset")
    assert len(places) == 100
    assert {*places} == {(n, offset) for n, end in ends.items() for offset in range(end)}
    assert {row["_seq"] for row in world.rows(BRONZE.name)} == {first.version}
    assert (log.committed(BRONZE.name, TOPIC), lag(log, BRONZE.name, TOPIC)) == (ends, 0)
    produce(log, b"one more")
    (moved,) = [n for n, end in log.end_offsets(TOPIC).items() if end > ends[n]]
    assert lag(log, BRONZE.name, TOPIC) == 1
    second = BRONZE.advance(world.lake, log)
    assert second.marks == {f"{TOPIC}/{moved}": ends[moved] + 1}
    assert (second.rows_in, second.version) == (1, first.version + 1)
    # Nothing new is no commit.
    assert BRONZE.advance(world.lake, log).version == second.version


def test_a_backlog_is_taken_in_by_commits_of_bounded_size(world, log):
    for _ in range(20):
        produce(log, *(f"event {n}".encode() for n in range(50)))
    table = replace(BRONZE, events_per_commit=200)
    assert table.advance(world.lake, log).kept == 1_000
    commits = [rows for (rows,) in _counts(world, "_seq")]
    assert len(commits) == 5
    assert max(commits) <= 300


def _counts(world: World, column: str) -> list[tuple[int]]:
    counts = world.lake.read(BRONZE.name, [column]).group_by(column).aggregate([([], "count_all")])
    return [(count,) for count in counts["count_all"].to_pylist()]


def test_the_rows_of_a_lost_commit_to_the_group_are_not_read_again(world, log):
    produce(log, b"event")
    BRONZE.advance(world.lake, log)
    log.commit(BRONZE.name, TOPIC, dict.fromkeys(range(10), 0))
    assert BRONZE.advance(world.lake, log).rows_in == 0


def test_a_value_that_is_no_text_is_kept_as_its_bytes(world, log):
    produce(log, b"before", STRAY, None, "né".encode())
    BRONZE.advance(world.lake, log)
    assert received(world, "key", "value", "_bytes") == [
        ("key 0", "before", None),
        ("key 1", None, STRAY),
        ("key 2", None, None),
        ("key 3", "né", None),
    ]


def test_a_key_that_is_no_text_is_written_out(world, log):
    row = {"key": b"a\xff", "value": b"v", "timestamp": SENT}
    log.produce(TOPIC, pa.Table.from_pylist([row], PRODUCED))
    BRONZE.advance(world.lake, log)
    assert received(world, "key") == [("a\\xff",)]


def test_a_dead_letter_that_is_no_text_is_replayed_when_it_was_repaired(world, log):
    produce(log, region("Good", 1), STRAY, region("Fine", 2))
    BRONZE.advance(world.lake, log)
    advanced = REGIONS.advance(world.runtime)
    assert (advanced.rows_in, advanced.kept, advanced.quarantined) == (3, 2, 1)
    (refused,) = world.rows("silver.regions_quarantine")
    assert refused["raw"] is None
    assert json.loads(refused["_origin"])["_bytes"] == b64encode(STRAY).decode()
    # As it was received, it is refused again, its bytes with it.
    restored = BRONZE.restored(world.lake, [refused]).to_pylist()
    assert [(row["value"], row["_bytes"]) for row in restored] == [(None, STRAY)]
    assert replay(REGIONS, world.runtime, {}).refused == 1
    done = replay(REGIONS, world.runtime, {refused["position"]: region("Mended", 3).decode()})
    assert (done.taken_in, done.refused) == (1, 0)
    assert {row["country"] for row in world.rows(REGIONS.name)} == {"Good", "Fine", "Mended"}


def test_events_that_retention_deleted_unread_are_named_and_reading_goes_on(world, tmp_path):
    with closing(EmbeddedEventLog(tmp_path / "events")) as log:
        log.create_topic(TOPIC, partitions=1, retention=timedelta(0))
        produce(log, b"read")
        assert not BRONZE.advance(world.lake, log).unreadable
        produce(log, b"lost", b"lost as well")
        produce(log, b"kept")
        advanced = BRONZE.advance(world.lake, log)
        assert advanced.unreadable == [
            f"{TOPIC}/0: events 1 to 2 were deleted by retention before they were read"
        ]
        results = [*bronze_check_results(advanced, skips_unreadable=BRONZE.skips_unreadable)]
        assert [result.check_name for result in results if not result.passed] == ["readable"]
        assert received(world, "_offset", "value") == [(0, "read"), (3, "kept")]
        assert not BRONZE.advance(world.lake, log).unreadable


def test_a_log_that_has_forgotten_what_was_read_is_an_error(world, log, tmp_path):
    produce(log, b"one", b"two")
    BRONZE.advance(world.lake, log)
    with closing(EmbeddedEventLog(tmp_path / "another")) as another:
        another.create_topic(TOPIC)
        with pytest.raises(SourceError, match=rf"has read {TOPIC}/\d up to 1, but it ends at 0"):
            BRONZE.advance(world.lake, another)
