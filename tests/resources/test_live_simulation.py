"""`aquifer simulate` sends what is due when it is due, and says what it sent."""

import re
import signal
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import start

from aquifer import cli
from aquifer.errors import SettingError
from aquifer.landing import LandingFolder
from resources import environment
from resources.event_log.embedded import EmbeddedEventLog
from resources.simulation.streams.catalogue import Catalogue, catalogue
from resources.simulation.streams.live import send
from resources.simulation.streams.openloop import SHARES
from resources.simulation.streams.stream import EventStream

START = datetime(2026, 3, 1, 8, 26, tzinfo=UTC)
DEADLINE_SECONDS = 60


@pytest.fixture(scope="module")
def goods(tmp_path_factory) -> Catalogue:
    nothing = tmp_path_factory.mktemp("nothing")
    return catalogue(nothing / "orders.db", nothing / "rewards.db", LandingFolder(nothing), 17)


class Clock:
    """A clock on which only waiting takes time; once, it takes long."""

    def __init__(self, pause_after: int) -> None:
        self.passed = timedelta(0)
        self.waits = 0
        self.pause_after = pause_after

    def now(self) -> datetime:
        return START + self.passed

    def wait(self, seconds: float) -> None:
        self.waits += 1
        self.passed += timedelta(seconds=70 if self.waits == self.pause_after else seconds)


def sent(folder: Path, topic: str) -> list[tuple]:
    """Timestamp, key and value of each event of a topic."""
    with closing(EmbeddedEventLog(folder)) as log:
        events = log.read(topic, dict.fromkeys(log.end_offsets(topic), 0), 1_000_000)
    columns = [events[name].to_pylist() for name in ("timestamp", "key", "value")]
    return sorted(zip(*columns, strict=True))


def expected(stream: EventStream, slots: int, topic: str) -> list[tuple]:
    events = stream.batch(0, slots).events[topic]
    columns = [events[name].to_pylist() for name in ("timestamp", "key", "value")]
    return sorted(zip(*columns, strict=True))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true"
        time.sleep(0.05)


def test_after_a_pause_what_is_overdue_is_sent_at_once_as_it_would_have_been(goods, tmp_path):
    stream = EventStream(17, START, 500, goods, ["pos.events"])
    clock, looks = Clock(pause_after=20), []

    def asked() -> bool:
        looks.append(clock.passed)
        return False

    with closing(EmbeddedEventLog(tmp_path)) as log:
        log.create_topic("pos.events")
        done = send(stream, log, 36_000, asked, clock)
    assert sent(tmp_path, "pos.events") == expected(stream, 36_000, "pos.events")
    assert (done.slots, done.events["pos.events"]) == (36_000, 36_000)
    assert timedelta(seconds=69) < done.behind < timedelta(seconds=71)
    # 35,000 slots were due after the pause: two batches, and no wait between them.
    behind = [place for place, passed in enumerate(looks) if passed > timedelta(seconds=70)]
    assert looks[behind[0]] == looks[behind[1]] < looks[behind[2]]
    assert clock.passed == timedelta(seconds=72)


def test_so_many_minutes_of_the_topics_asked_for_are_sent_into_the_environments_log(tmp_path):
    wired = environment.resources({"AQUIFER_HOME": str(tmp_path)})
    stream = wired["simulation"].live(START, 600, topics=["web.events", "pos.events"])
    with wired["events"].reading() as log:
        done = wired["simulation"].send(stream, log, 0.05, lambda: False)
    assert done.events == {"pos.events": 1350, "web.events": 450}
    for topic in SHARES:
        assert len(sent(tmp_path / "events", topic)) == done.events[topic]


def test_ctrl_c_ends_the_command_and_what_it_says_was_sent_is_in_the_log(goods, tmp_path):
    begin = datetime.now(UTC)
    arguments = ["--rate", "200", "--seed", "5", "--start", begin.isoformat()]
    process = start("simulate", *arguments, home=tmp_path)
    until(lambda: (tmp_path / "events" / "iot.readings.db").exists())
    until(lambda: len(sent(tmp_path / "events", "iot.readings")) > 40)
    process.send_signal(signal.SIGINT)
    said, error = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, error) == (0, "")
    figures = re.fullmatch(
        r"([0-9,]+) events sent, ([0-9,]+) to iot.readings, ([0-9,]+) to mobile.events, "
        r"([0-9,]+) to pos.events, ([0-9,]+) to web.events; "
        r"the slowest [0-9.]+ s after it was due\n",
        said,
    )
    total, *counts = (int(figure.replace(",", "")) for figure in figures.groups())
    # Another process computes the same bytes.
    stream = EventStream(5, begin, 200, goods)
    for topic, count in zip(sorted(SHARES), counts, strict=True):
        events = sent(tmp_path / "events", topic)
        assert len(events) == count
        assert events == expected(stream, total, topic)


def test_wrong_arguments_are_refused():
    with pytest.raises(SettingError, match="'tomorrow' is no instant; write one like 2011-03-01T"):
        cli.simulate(start="tomorrow")
    with pytest.raises(SettingError, match=r"--minutes is -1; use 0 \(until Ctrl-C\) to 1,000,000"):
        cli.simulate(minutes=-1)


def test_fraud_that_nobody_knows_or_can_commit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AQUIFER_HOME", str(tmp_path))
    # The command would catch this process's own.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SettingError, match="no fraud 'arson' is simulated; use usual or shifted"):
        cli.simulate(fraud="arson")
    with pytest.raises(SettingError, match=r"at the tills; let pos[.]events take part"):
        cli.simulate(topic=["web.events"], fraud="usual")


def test_verdicts_are_sent_beside_the_topics_which_keep_their_shares(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AQUIFER_HOME", str(tmp_path))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    cli.simulate(10, 20, start=START.isoformat(), fraud="usual")
    counts = {topic: len(sent(tmp_path / "events", topic)) for topic in [*SHARES, "pos.verdicts"]}
    verdicts = counts.pop("pos.verdicts")
    assert 100 < verdicts < 0.08 * counts["pos.events"]
    assert counts == {topic: 12_000 * part // 10 for topic, part in SHARES.items()}
    assert f"{verdicts:,} to pos.verdicts" in capsys.readouterr().out


@pytest.mark.parametrize("rate", [0, -5, 0.001, 2_000_000, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_kept_is_refused(goods, rate):
    with pytest.raises(SettingError, match=r"use one from 0.01 to 1,000,000"):
        EventStream(17, START, rate, goods)


def test_a_start_outside_the_calendar_is_refused(goods):
    with pytest.raises(SettingError, match="use one from 1980 to 2200"):
        EventStream(17, datetime(1900, 1, 1, tzinfo=UTC), 20, goods)
