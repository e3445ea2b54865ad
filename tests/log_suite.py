"""What every event log does: the same assertions, whichever log is behind the interface.

A test module inherits `EventLogSuite` and gives the fixture `place`: where its log is.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from conftest import PROJECT
from logs import Event, events

from aquifer.eventlog import EVENTS, PARTITIONS, PRODUCED, EventLog, UnknownTopic, lag
from aquifer.topics import overview
from resources.event_log.opening import opened

DEADLINE_SECONDS = 60
SENT = datetime.now(UTC).replace(microsecond=250_000)
"""Of late, or retention would delete it; without microseconds, which not every log keeps."""
FOLLOWED = 1_000
"""Events that each of two producing processes sends."""

PRODUCER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
import pyarrow as pa
from aquifer.eventlog import PRODUCED
from resources.event_log.opening import opened

url, folder, topic, name, size, batches = sys.argv[1:]
with opened(url, Path(folder)) as log:
    for batch in range(int(batches)):
        rows = [
            {"key": f"{name}{n % 40}".encode(), "value": f"{name}/{batch}/{n}".encode(),
             "timestamp": datetime.now(UTC)}
            for n in range(int(size))
        ]
        log.produce(topic, pa.Table.from_pylist(rows, PRODUCED))
        print(batch, flush=True)
"""


@dataclass(frozen=True)
class Place:
    """Where a log is, for this process and for others."""

    url: str
    folder: Path

    def open(self) -> AbstractContextManager[EventLog]:
        return opened(self.url, self.folder)

    def producing(self, topic: str, name: str, size: int, batches: int) -> subprocess.Popen:
        """A process that produces batches and prints the number of each when it is durable."""
        arguments = [self.url, self.folder, topic, name, size, batches]
        return subprocess.Popen(
            [sys.executable, "-c", PRODUCER, *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'platform'}"},
            stdout=subprocess.PIPE,
            text=True,
        )


def batch(*pairs: tuple[str | None, str | None], sent: datetime = SENT) -> pa.Table:
    """Events of these keys and values."""
    rows = [
        {
            "key": None if key is None else key.encode(),
            "value": None if value is None else value.encode(),
            "timestamp": sent,
        }
        for key, value in pairs
    ]
    return pa.Table.from_pylist(rows, PRODUCED)


def numbered(count: int, of: str = "e") -> pa.Table:
    return batch(*((f"key {n % 50}", f"{of} {n}") for n in range(count)))


def follow(log: EventLog, topic: str, position: dict[int, int], limit: int) -> list[Event]:
    """Read on until there is nothing more, each partition without a gap."""
    seen = []
    while found := events(log, topic, position, limit):
        for event in found:
            assert event.offset == position[event.partition]
            position[event.partition] += 1
        seen += found
    return seen


def zeros(partitions: int = PARTITIONS) -> dict[int, int]:
    return dict.fromkeys(range(partitions), 0)


class EventLogSuite:
    """The assertions."""

    @pytest.fixture
    def topic(self) -> str:
        return f"test.{uuid4().hex}"

    @pytest.fixture
    def log(self, place, topic):
        with place.open() as log:
            log.create_topic(topic)
            yield log

    def test_a_new_topic_is_empty_and_stays_as_it_is_when_it_is_created_again(self, log, topic):
        assert topic in log.topics()
        assert log.begin_offsets(topic) == log.end_offsets(topic) == zeros()
        assert log.read(topic, zeros(), 100).equals(EVENTS.empty_table())
        log.produce(topic, numbered(30))
        ends = log.end_offsets(topic)
        log.create_topic(topic, partitions=2)
        assert log.end_offsets(topic) == ends
        assert log.begin_offsets(topic) == zeros()

    def test_events_come_back_as_they_were_produced(self, log, topic):
        sent = [("a", "1"), ("b", "é \n\0"), ("a", ""), ("", "4"), ("c", None), ("a", "6")]
        log.produce(topic, batch(*sent))
        log.produce(topic, PRODUCED.empty_table())
        read = log.read(topic, zeros(), 100)
        assert read.schema == EVENTS
        assert set(read["timestamp"].to_pylist()) == {SENT}
        pairs = [(key.decode(), value) for key, value in _columns(read, "key", "value")]
        expected = [(key, None if value is None else value.encode()) for key, value in sent]
        assert sorted(pairs, key=repr) == sorted(expected, key=repr)
        assert [value for key, value in pairs if key == "a"] == [b"1", b"", b"6"]
        bounds = Counter(read["partition"].to_pylist())
        assert log.end_offsets(topic) == {n: bounds[n] for n in range(PARTITIONS)}

    def test_bytes_that_are_no_text_come_back_too(self, log, topic):
        row = {"key": b"\xff\x00", "value": b"\xfe\x00\x80", "timestamp": SENT}
        log.produce(topic, pa.Table.from_pylist([row], PRODUCED))
        (found,) = log.read(topic, zeros(), 100).select(PRODUCED.names).to_pylist()
        assert found == row

    def test_reading_begins_at_the_offset_of_each_partition_named(self, log, topic):
        for part in range(5):
            log.produce(topic, numbered(100, f"part {part}"))
        ends = log.end_offsets(topic)
        whole = events(log, topic)
        assert len(whole) == sum(ends.values()) == 500
        offsets = {n: end // 3 for n, end in ends.items() if n % 2}
        expected = [e for e in whole if e.offset >= offsets.get(e.partition, 1_000)]
        assert sorted(events(log, topic, offsets)) == sorted(expected)
        assert events(log, topic, ends) == []
        assert events(log, topic, {n: end + 5 for n, end in ends.items()}) == []
        assert events(log, topic, {}) == []
        last = {n: end - 1 for n, end in ends.items()}
        assert Counter(e.partition for e in events(log, topic, last)) == dict.fromkeys(ends, 1)

    def test_a_limit_is_kept_to_and_reading_on_gives_the_rest(self, log, topic):
        for part in range(20):
            log.produce(topic, numbered(100, f"part {part}"))
        assert 300 <= len(events(log, topic, limit=400)) <= 600
        position = zeros()
        assert len(follow(log, topic, position, 150)) == 2_000
        assert position == log.end_offsets(topic)

    @pytest.mark.parametrize("partitions", [1, 3, 10])
    def test_the_key_decides_the_partition_as_in_the_java_client(self, place, topic, partitions):
        # The hashes that Kafka's own UtilsTest states.
        hashes = {
            "21": -973932308,
            "foobar": -790332482,
            "a-little-bit-long-string": -985981536,
            "a-little-bit-longer-string": -1486304829,
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
            "abc": 479470107,
        }
        with place.open() as log:
            log.create_topic(topic, partitions)
            log.produce(topic, batch(*((key, "value") for key in hashes)))
            placed = {event.key: event.partition for event in events(log, topic)}
        assert placed == {k: (h & 0x7FFFFFFF) % partitions for k, h in hashes.items()}

    def test_events_without_a_key_are_spread(self, log, topic):
        log.produce(topic, batch(*((None, str(n)) for n in range(1_000))))
        log.produce(topic, batch((None, "one more"), ("key", "and one with a key")))
        counts = log.end_offsets(topic)
        assert sum(counts.values()) == 1_002
        assert min(counts.values()) >= 50

    def test_groups_commit_offsets_and_lag_behind_the_end(self, log, topic):
        log.produce(topic, numbered(100))
        ends = log.end_offsets(topic)
        assert log.committed("g", topic) == {}
        assert lag(log, "g", topic) == 100
        log.commit("g", topic, {n: end // 2 for n, end in ends.items()})
        half = sum(end - end // 2 for end in ends.values())
        assert lag(log, "g", topic) == half
        log.commit("g", topic, {0: ends[0]})
        log.commit("h", topic, ends)
        assert log.committed("g", topic) == {n: end // 2 for n, end in ends.items()} | {0: ends[0]}
        assert lag(log, "g", topic) == half - (ends[0] - ends[0] // 2)
        assert (lag(log, "h", topic), log.groups(topic)) == (0, ["g", "h"])
        (shown,) = [row for row in overview(log).to_pylist() if row["topic"] == topic]
        assert shown == {
            "topic": topic,
            "partitions": PARTITIONS,
            "events": 100,
            "end offsets": " ".join(str(ends[n]) for n in range(PARTITIONS)),
            "lag": f"g: {half - (ends[0] - ends[0] // 2)}, h: 0",
        }

    def test_retention_forgets_the_oldest_events_and_reading_goes_on(self, place, topic):
        with place.open() as log:
            log.create_topic(topic, partitions=2, retention=timedelta(milliseconds=1))
            log.produce(topic, numbered(100, "old"))
            deadline = time.monotonic() + DEADLINE_SECONDS
            # What was forgotten last is forgotten when something new comes.
            while any(begin < 40 for begin in log.begin_offsets(topic).values()):
                assert time.monotonic() < deadline
                log.produce(topic, numbered(4, "new"))
                time.sleep(0.01)
            begins, ends = log.begin_offsets(topic), log.end_offsets(topic)
            kept = events(log, topic)
            assert all(event.value.startswith("new") for event in kept)
            for event in kept:
                assert begins[event.partition] <= event.offset < ends[event.partition]

    def test_an_event_of_10_mb_passes_beside_small_ones(self, log, topic):
        large = os.urandom(5_000_000).hex()
        log.produce(topic, batch(("a", "before"), ("a", large), ("a", "after")))
        found = events(log, topic)
        assert [len(event.value) for event in found] == [6, 10_000_000, 5]
        assert found[1].value == large

    def test_a_topic_that_does_not_exist_is_one_line(self, place, topic):
        with place.open() as log:
            asked = [
                lambda: log.read(topic, {0: 0}, 10),
                lambda: log.begin_offsets(topic),
                lambda: log.end_offsets(topic),
                lambda: log.produce(topic, numbered(1)),
                lambda: log.commit("g", topic, {0: 0}),
                lambda: log.committed("g", topic),
                lambda: log.groups(topic),
            ]
            for ask in asked:
                with pytest.raises(UnknownTopic, match=rf"no topic '{topic}' in .*create") as said:
                    ask()
                assert "\n" not in str(said.value)
            assert topic not in log.topics()

    def test_two_producing_processes_lose_nothing_and_a_reader_follows(self, place, log, topic):
        producers = [
            place.producing(topic, name, size=20, batches=FOLLOWED // 20) for name in ("a", "b")
        ]
        position = zeros()
        seen: list[Event] = []
        deadline = time.monotonic() + DEADLINE_SECONDS
        # Until both have ended, and once more, so that an event too many would be seen as well.
        ended = False
        while not ended:
            assert time.monotonic() < deadline
            ended = all(producer.poll() is not None for producer in producers)
            seen += follow(log, topic, position, 100)
        for producer in producers:
            producer.stdout.close()
        assert [producer.returncode for producer in producers] == [0, 0]
        expected = [
            f"{name}/{part}/{n}"
            for name in ("a", "b")
            for part in range(FOLLOWED // 20)
            for n in range(20)
        ]
        assert sorted(event.value for event in seen) == sorted(expected)
        for name in ("a", "b"):
            for key in (f"{name}{n}" for n in range(20)):
                parts = [int(e.value.split("/")[1]) for e in seen if e.key == key]
                assert parts == sorted(parts)

    def test_a_killed_producer_leaves_nothing_half_written(self, place, log, topic):
        size = 20_000
        for name in ("first", "second"):
            producer = place.producing(topic, name, size=size, batches=1_000)
            done = [int(producer.stdout.readline()) for _ in range(2)][-1]
            producer.send_signal(signal.SIGKILL)
            done = max([done, *map(int, producer.stdout.read().split())])
            assert producer.wait() == -signal.SIGKILL
            producer.stdout.close()
            found = follow(log, topic, position := zeros(), 1_000_000)
            assert position == log.end_offsets(topic)
            batches = Counter(e.value.rsplit("/", 1)[0] for e in found)
            durable = {f"{name}/{n}" for n in range(done + 1)}
            assert {part for part, events in batches.items() if events == size} >= durable
            # At most the one that was being produced when it was killed came in beside.
            assert {p for p in batches if p.startswith(name)} <= durable | {f"{name}/{done + 1}"}
            self.check_unacknowledged(batches[f"{name}/{done + 1}"], size)
        log.produce(topic, batch(("after", "after")))
        assert [event.value for event in events(log, topic, position)] == ["after"]

    def check_unacknowledged(self, events: int, size: int) -> None:
        """Look at how much came in of a batch whose producer was killed."""
        assert events <= size


def _columns(table: pa.Table, *names: str) -> list[tuple]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))
