"""The embedded event log: what every log does, and what only this one can promise."""

import os
import re
import time
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import start
from log_suite import DEADLINE_SECONDS, EventLogSuite, Place, batch, numbered
from logs import events

from aquifer.errors import SettingError
from aquifer.eventlog import UnknownTopic, lag
from resources.environment import resources
from resources.event_log.embedded import EmbeddedEventLog
from resources.event_log.opening import TOPICS


class TestEmbeddedEventLog(EventLogSuite):
    @pytest.fixture
    def place(self, tmp_path) -> Place:
        return Place("sqlite://", tmp_path / "events")

    def test_a_read_takes_from_all_partitions_alike(self, log, topic):
        for part in range(20):
            log.produce(topic, numbered(100, f"part {part}"))
        whole, some = Counter(), Counter()
        whole.update(event.partition for event in events(log, topic))
        some.update(event.partition for event in events(log, topic, limit=500))
        assert {n: 4 * count for n, count in some.items()} == whole

    def check_unacknowledged(self, events: int, size: int) -> None:
        assert events in (0, size)


@pytest.fixture
def log(tmp_path):
    with closing(EmbeddedEventLog(tmp_path / "events")) as log:
        yield log


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.db"))


def test_what_is_forgotten_makes_room(log, tmp_path):
    log.create_topic("t", retention=timedelta(0))
    noise = [os.urandom(100_000).hex() for _ in range(60)]
    log.produce("t", batch(*(("key", value) for value in noise)))
    largest = stored(tmp_path / "events")
    assert largest > 12_000_000
    for value in noise:
        log.produce("t", batch(("key", value)))
    assert stored(tmp_path / "events") < largest / 2


def test_a_partition_that_is_forgotten_whole_hides_no_other(log):
    log.create_topic("t", retention=timedelta(seconds=0.3))
    log.produce("t", batch(("foobar", "old")))
    (old,) = [n for n, end in log.end_offsets("t").items() if end]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not log.begin_offsets("t")[old]:
        assert time.monotonic() < deadline
        log.produce("t", batch(("21", "new")))
    (new,) = [n for n, end in log.end_offsets("t").items() if end and n != old]
    end = log.end_offsets("t")[new]
    (found,) = events(log, "t", {old: 0, new: end - 1}, limit=1)
    assert (found.partition, found.offset) == (new, end - 1)
    assert lag(log, "nobody", "t") == end - log.begin_offsets("t")[new]


def test_no_topic_is_outside_the_folder(log):
    log.create_topic("t")
    with pytest.raises(UnknownTopic):
        log.end_offsets("../events/t")


def test_the_command_lists_the_topics_that_the_platform_needs(tmp_path):
    listing = start("topics", home=tmp_path, PYTHONUTF8="1")
    printed, said = listing.communicate(timeout=DEADLINE_SECONDS)
    assert (listing.returncode, said) == (0, "")
    for topic in TOPICS:
        assert re.search(rf"{re.escape(topic)} +│ 10 +│ 0 +│ {'0 ' * 10}", printed)
    with closing(EmbeddedEventLog(tmp_path / "events")) as log:
        assert set(log.topics()) == set(TOPICS)


@pytest.mark.parametrize("days", ["", "3"])
def test_retention_is_a_setting(tmp_path, days):
    settings = {"AQUIFER_HOME": str(tmp_path), "AQUIFER_RETENTION_DAYS": days}
    assert resources(settings)["events"].retention_days == int(days or 7)


def test_a_retention_that_is_no_number_is_one_line():
    with pytest.raises(SettingError, match="AQUIFER_RETENTION_DAYS is 'soon'; write a number"):
        resources({"AQUIFER_RETENTION_DAYS": "soon"})


@pytest.mark.parametrize("name", ["", "a/b", "../up", "sp ace", "é"])
def test_a_topic_needs_a_name_that_all_logs_allow(log, name):
    with pytest.raises(SettingError, match="a topic cannot be named"):
        log.create_topic(name)


def test_a_url_of_no_log_is_one_line(tmp_path):
    with (
        pytest.raises(SettingError, match=r"AQUIFER_EVENT_LOG is 'redis://x'; write sqlite:// or"),
        Place("redis://x", tmp_path).open(),
    ):
        pass


def test_a_large_produce_is_stored_in_parts_of_one_transaction(log):
    log.create_topic("t")
    log.produce("t", numbered(25_000))
    offsets = log.end_offsets("t")
    assert sum(offsets.values()) == 25_000
    # One part is what a read that asks for little takes.
    assert len(log.read("t", dict.fromkeys(offsets, 0), 1)) == 10_000
